/**
 * Gives Services of type LoadBalancer their addresses: what the watches deliver goes into the AddressBook, what the book
 * decides is written into the status of the Services. Nothing is written before everything has been read once, and only while
 * this process leads.
 */
import { type IpAddress, parseIp } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import { FieldReader, Findings, isRawObject } from '../../objects/read/FieldReader.js';
import type { Clock } from '../../time/Clock.js';
import {
  AddressBook,
  type AddressBookOptions,
  type PoolUse,
  type StatusWrite,
} from '../addresses/AddressBook.js';
import { type AddressPool, labelsOf, parsePool, poolName } from '../addresses/AddressPool.js';
import type { StatusWriteEnd } from '../addresses/LeftAddresses.js';
import { POOLS_KNOWN_MS } from '../addresses/RecentPools.js';
import { readRequest } from '../addresses/ServiceRequest.js';
import { PoolsByGroup } from './PoolsByGroup.js';
import type { RawChange } from './RawStore.js';
import { type StatusOutcome, StatusWriter } from './StatusWriter.js';

/** Milliseconds after which a server has given up a request that it did not answer. */
const REQUEST_GONE_MS = 60_000;
/** Milliseconds in which addresses that become free are gathered, before those who wait for one get them. */
const FREED_MS = 200;

export type AllocatorKind = 'Service' | 'IPAddressPool' | 'Namespace' | 'Node';

export interface AllocatorEvents {
  /** An address was given, moved or taken back; or nothing can be given. */
  told(
    type: 'Normal' | 'Warning',
    reason: string,
    service: { namespace: string; name: string },
    note: string,
  ): void;
  problems(list: readonly Problem[]): void;
  /** Once when writing fails, and once when it works again (undefined). */
  trouble(why: string | undefined): void;
}

export interface AllocatorOptions extends AddressBookOptions {
  /** PATCH, a merge patch. Rejects when there is no answer. `retryAfterMs`: 0 when the server did not ask to wait. */
  readonly patch: (
    path: string,
    body: object,
  ) => Promise<{ readonly status: number; readonly retryAfterMs: number }>;
  /** Whether the Lease cannot have run out: asked before every write, as the process may have been paused since setLeads(). */
  readonly mayWrite: () => boolean;
  readonly clock: Clock;
  /** 0 up to 1. */
  readonly random: () => number;
  readonly events: AllocatorEvents;
}

export class Allocator {
  readonly #options: AllocatorOptions;
  readonly #book: AddressBook;
  readonly #incomplete = new Set<string>();
  readonly #problems = new Map<string, readonly Problem[]>();
  readonly #owned = new Map<string, readonly IpAddress[]>();
  /** Address → who names it, and as what. */
  readonly #owners = new Map<IpAddress, Map<string, string>>();
  readonly #writer: StatusWriter;
  /**
   * Timers: of pools, after the last of them who has an address of no pool loses it, by the name of the pool that went, '' since the
   * start; and of statuses.
   */
  readonly #awaiting = new Map<string, () => void>();
  readonly #pools = new PoolsByGroup();
  /** Pools that never could be read. */
  readonly #unread = new Set<string>();
  #isSettled = false;
  #leads = false;
  #stopped = false;

  constructor(options: AllocatorOptions, sources: Iterable<string>) {
    this.#options = options;
    this.#book = new AddressBook(options);
    const { clock, random, events } = options;
    this.#writer = new StatusWriter({
      write: (write) => this.#writeOne(write),
      mayWrite: () => this.#leads && options.mayWrite(),
      clock,
      random,
      onRefused: ({ service }, why) => events.told('Warning', 'AllocationFailed', service, why),
      onTrouble: events.trouble,
    });
    this.#book.await('quietly');
    for (const source of sources) this.#incomplete.add(source);
  }

  /** From the watch of one kind in one API group (`metallb.io`; '' is that of Services). Anything may come in. */
  apply(kind: AllocatorKind, group: string, changes: readonly RawChange[]): void {
    for (const change of changes) this.#applyOne(kind, group, change);
    this.#decide();
  }

  /** Everything of the source was delivered once. */
  complete(source: string): void {
    if (this.#incomplete.delete(source) && this.#incomplete.size === 0) this.#awaitPools();
    this.#decide();
  }

  setLeads(leads: boolean): void {
    this.#leads = leads;
    if (leads) this.#writer.begin();
  }

  uses(): readonly PoolUse[] {
    return this.#book.uses();
  }

  /** No call comes after this. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const cancel of this.#awaiting.values()) cancel();
    await this.#writer.stop();
  }

  #applyOne(kind: AllocatorKind, group: string, { type, key, raw }: RawChange): void {
    switch (kind) {
      case 'Service': {
        const request = type === 'upsert' ? readRequest(raw) : undefined;
        if (request) this.#book.setService(request);
        else {
          this.#book.removeService(key);
          this.#writer.drop(key);
        }
        this.#own(`Service ${key}`, `the cluster IP of ${key}`, type === 'upsert' ? clusterIPs(raw) : []);
        return;
      }
      case 'IPAddressPool':
        this.#applyPool(type, key, group, raw);
        return;
      case 'Namespace': {
        const labels = isRawObject(raw)
          ? labelsOf(new FieldReader(raw, new Findings()).object('metadata'))
          : {};
        this.#book.setNamespace(key, type === 'upsert' ? labels : {});
        return;
      }
      case 'Node':
        this.#own(`Node ${key}`, `the node ${key}`, type === 'upsert' ? nodeAddresses(raw) : []);
        return;
    }
  }

  #applyPool(type: RawChange['type'], key: string, group: string, raw: unknown): void {
    const result = type === 'upsert' ? parsePool(raw) : undefined;
    const [namespace = '', name = ''] = key.includes('/') ? key.split('/') : ['', key];
    const own = poolName({ namespace, name });
    const ofGroup = `${own} of ${group}`;
    this.#setProblems(
      ofGroup,
      result?.type === 'invalid' ? [result.problem] : result?.type === 'pool' ? result.warnings : [],
    );
    this.#unread.delete(ofGroup);
    if (result?.type === 'pool') this.#pools.set(own, group, result.pool);
    else if (result?.type !== 'invalid') this.#pools.delete(own, group);
    const pool = this.#pools.get(own);
    if (result?.type !== 'invalid' && pool !== undefined) this.#setPool(own, pool);
    // A pool that is broken by an edit keeps giving what it gave: taking all addresses back would stop traffic.
    else if (result?.type === 'invalid') {
      if (!this.#book.hasPool(own)) this.#unread.add(ofGroup);
    } else if (this.#book.removePool(own)) this.#after(own, POOLS_KNOWN_MS, () => this.#book.forgetPool(own));
    if (!this.#isSettled && this.#incomplete.size === 0) this.#awaitPools();
  }

  #setPool(own: string, pool: AddressPool): void {
    this.#awaiting.get(own)?.();
    this.#awaiting.delete(own);
    this.#book.setPool(pool);
  }

  /** Everything that is there now has been read; what comes with it, as the definitions of pools do, may be a moment late. */
  #awaitPools(): void {
    this.#after('', POOLS_KNOWN_MS, () => {
      this.#isSettled = this.#book.hasPools && this.#unread.size === 0;
      this.#book.await(this.#isSettled ? 'nothing' : 'aloud');
    });
  }

  #after(own: string, milliseconds: number, then: () => void): void {
    this.#awaiting.get(own)?.();
    const cancel = this.#options.clock.after(milliseconds, () => {
      this.#awaiting.delete(own);
      then();
      this.#decide();
    });
    this.#awaiting.set(own, cancel);
  }

  #setProblems(key: string, problems: readonly Problem[]): void {
    const before = this.#problems.get(key) ?? [];
    if (before.length === 0 && problems.length === 0) return;
    this.#problems.set(key, problems);
    this.#options.events.problems([...this.#problems.values()].flat());
  }

  /**
   * The addresses of somebody else: nobody gets them from a pool. Two may name one address, as a node and the one that replaces it
   * under another name: it is free when neither does.
   */
  #own(key: string, owner: string, addresses: readonly IpAddress[]): void {
    for (const address of this.#owned.get(key) ?? []) {
      if (addresses.includes(address)) continue;
      const owners = this.#owners.get(address);
      owners?.delete(key);
      if (owners?.size === 0) this.#owners.delete(address);
      const [left] = owners?.values() ?? [];
      this.#book.setOwner(address, left);
    }
    for (const address of addresses) {
      const owners = this.#owners.get(address) ?? new Map<string, string>();
      this.#owners.set(address, owners.set(key, owner));
      this.#book.setOwner(address, owner);
    }
    if (addresses.length > 0) this.#owned.set(key, addresses);
    else this.#owned.delete(key);
  }

  #decide(): void {
    if (this.#incomplete.size > 0 || this.#stopped) return;
    const { writes, settled } = this.#book.decide();
    for (const key of settled) this.#writer.drop(key);
    for (const write of writes) this.#writer.set(write);
    this.#writer.begin();
    this.#giveFreedSoon();
  }

  #giveFreedSoon(): void {
    if (this.#book.hasFreed && !this.#stopped && !this.#awaiting.has(FREED))
      this.#after(FREED, FREED_MS, () => this.#book.giveFreed());
  }

  /** Until the watch brings what has become of it, the status may have what is written. */
  async #patch(write: StatusWrite): ReturnType<AllocatorOptions['patch']> {
    const { namespace, name, resourceVersion } = write.service;
    const key = objectPath(write.service);
    let outcome: StatusWriteEnd = 'unknown';
    this.#book.writeBegins(write);
    try {
      const answer = await this.#options.patch(`/api/v1/namespaces/${namespace}/services/${name}/status`, {
        metadata: { resourceVersion },
        // ipMode VIP: the nodes themselves take what is sent to the address.
        status: { loadBalancer: { ingress: write.addresses.map((ip) => ({ ip, ipMode: 'VIP' })) } },
      });
      outcome = outcomeOf(answer.status);
      return answer;
    } finally {
      this.#book.writeEnds(key, outcome);
      if (outcome === 'unknown' && !this.#stopped)
        this.#after(`status of ${key}`, REQUEST_GONE_MS, () => this.#book.doubtEnds(key, resourceVersion));
      this.#giveFreedSoon();
    }
  }

  async #writeOne(write: StatusWrite): Promise<StatusOutcome> {
    const { service, addresses, decision } = write;
    const { assigned, namespace, name, foreignStatus } = service;
    const changes = foreignStatus || addresses.join() !== assigned.join();
    if (changes) {
      const { status, retryAfterMs } = await this.#patch(write);
      // Changed or deleted meanwhile: the watch brings what it is now, and that is decided anew.
      if (status === 409 || status === 404) return { type: 'done', asked: true };
      const why = refusal(status, `${namespace}/${name}`);
      if (OF_ALL.has(status)) return { type: 'failed', why, retryAfterMs };
      if (status !== 200) return { type: 'refused', why };
    }
    const { told } = this.#options.events;
    if (decision.type === 'refused') {
      const lost = assigned.length > 0 && changes ? `; ${assigned.join(', ')} was taken back` : '';
      told('Warning', 'AllocationFailed', service, `${decision.why}${lost}`);
    } else if (changes)
      told('Normal', 'IPAllocated', service, `${addresses.join(', ')} of pool ${decision.pool}`);
    return { type: 'done', asked: changes };
  }
}

const FREED = 'freed addresses';

/** Answers that may concern whoever asks, not the Service alone: not known, too many requests, a proxy or server that cannot now. */
const OF_ALL: ReadonlySet<number> = new Set([401, 429, 502, 503, 504]);

function outcomeOf(status: number): StatusWriteEnd {
  // A proxy that gave up does not know whether the server goes on.
  if (status >= 500) return 'unknown';
  return status < 300 || status === 404 || status === 409 ? 'moved on' : 'refused';
}

function refusal(status: number, service: string): string {
  const answer = `the API server answered ${status} to the status of Service ${service}`;
  return status === 403 ? `${answer}; apply the ClusterRole of deploy/allocator` : answer;
}

function clusterIPs(raw: unknown): readonly IpAddress[] {
  if (!isRawObject(raw)) return [];
  const spec = new FieldReader(raw, new Findings()).object('spec');
  return addressesOf([spec.text('clusterIP'), ...spec.texts('clusterIPs')]);
}

function nodeAddresses(raw: unknown): readonly IpAddress[] {
  if (!isRawObject(raw)) return [];
  const status = new FieldReader(raw, new Findings()).object('status');
  return addressesOf(status.objects('addresses').map((item) => item.text('address')));
}

function addressesOf(texts: readonly string[]): readonly IpAddress[] {
  return [...new Set(texts.flatMap((text) => parseIp(text) ?? []))];
}
