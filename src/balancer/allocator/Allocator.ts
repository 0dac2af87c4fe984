/**
 * Gives Services of type LoadBalancer their addresses: what the watches deliver goes into the AddressBook, what the book
 * decides is written into the status of the Services. Nothing is written before everything has been read once, and only while
 * this process leads.
 */
import { messageOf } from '../../errors.js';
import { type IpAddress, parseIp } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import { FieldReader, Findings, isRawObject } from '../../objects/read/FieldReader.js';
import { BackOff } from '../../time/BackOff.js';
import type { Clock } from '../../time/Clock.js';
import {
  AddressBook,
  type AddressBookOptions,
  type PoolUse,
  type StatusWrite,
} from '../addresses/AddressBook.js';
import { labelsOf, parsePool, poolName } from '../addresses/AddressPool.js';
import { readRequest } from '../addresses/ServiceRequest.js';
import type { RawChange } from './RawStore.js';
import { RefusedWrites } from './RefusedWrites.js';

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
  /** PATCH, a merge patch; resolves to the status. */
  readonly patch: (path: string, body: object) => Promise<number>;
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
  /** What is to be written, the latest for each Service. */
  readonly #writes = new Map<string, StatusWrite>();
  readonly #problems = new Map<string, readonly Problem[]>();
  readonly #owned = new Map<string, readonly IpAddress[]>();
  /** Address → who names it, and as what. */
  readonly #owners = new Map<IpAddress, Map<string, string>>();
  readonly #backOff: BackOff;
  readonly #refused: RefusedWrites;
  #leads = false;
  #writing: Promise<void> | undefined;
  #cancelRetry: (() => void) | undefined;
  #failing = false;
  #stopped = false;

  constructor(options: AllocatorOptions, sources: Iterable<string>) {
    this.#options = options;
    this.#book = new AddressBook(options);
    this.#backOff = new BackOff(options.random);
    this.#refused = new RefusedWrites(options.clock, options.random);
    for (const source of sources) this.#incomplete.add(source);
  }

  /** From the watch of one kind. Anything may come in. */
  apply(kind: AllocatorKind, changes: readonly RawChange[]): void {
    for (const change of changes) this.#applyOne(kind, change);
    this.#decide();
  }

  /** Everything of the source was delivered once. */
  complete(source: string): void {
    this.#incomplete.delete(source);
    this.#decide();
  }

  setLeads(leads: boolean): void {
    this.#leads = leads;
    if (leads) this.#write();
  }

  uses(): readonly PoolUse[] {
    return this.#book.uses();
  }

  /** No call comes after this. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry?.();
    await this.#writing;
    // After the last answer, which may have been a refusal.
    this.#refused.stop();
  }

  #applyOne(kind: AllocatorKind, { type, key, raw }: RawChange): void {
    switch (kind) {
      case 'Service': {
        const request = type === 'upsert' ? readRequest(raw) : undefined;
        if (request) this.#book.setService(request);
        else this.#book.removeService(key);
        this.#own(`Service ${key}`, `the cluster IP of ${key}`, type === 'upsert' ? clusterIPs(raw) : []);
        return;
      }
      case 'IPAddressPool':
        this.#applyPool(type, key, raw);
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

  #applyPool(type: RawChange['type'], key: string, raw: unknown): void {
    const result = type === 'upsert' ? parsePool(raw) : undefined;
    const [namespace = '', name = ''] = key.includes('/') ? key.split('/') : ['', key];
    const own = poolName({ namespace, name });
    this.#setProblems(
      own,
      result?.type === 'invalid' ? [result.problem] : result?.type === 'pool' ? result.warnings : [],
    );
    if (result?.type === 'pool') this.#book.setPool(result.pool);
    // A pool that is broken by an edit keeps giving what it gave: taking all addresses back would stop traffic.
    else if (result?.type !== 'invalid') this.#book.removePool(own);
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
    for (const write of this.#book.decide()) {
      const key = objectPath(write.service);
      this.#refused.supersede(key);
      this.#writes.set(key, write);
    }
    this.#write();
  }

  #write(): void {
    if (!this.#isWriter() || this.#writing !== undefined || this.#writes.size === 0) return;
    this.#cancelRetry?.();
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = undefined;
      this.#write();
    });
  }

  /** One after the other: what is written is decided, so there is no hurry that would be worth two at once. */
  async #writeAll(): Promise<void> {
    for (const [key, write] of this.#writes) {
      if (!this.#isWriter()) return;
      try {
        const why = await this.#writeOne(write);
        const isLatest = this.#writes.get(key) === write;
        if (isLatest) this.#writes.delete(key);
        if (why === undefined) this.#refused.forget(key);
        else if (isLatest) this.#setAside(key, write, why);
        if (this.#failing) this.#options.events.trouble(undefined);
        this.#failing = false;
        this.#backOff.reset();
      } catch (error) {
        if (!this.#failing) this.#options.events.trouble(messageOf(error));
        this.#failing = true;
        await this.#pause();
      }
    }
  }

  /** The Service is tried again by itself, unless something newer is decided for it before. */
  #setAside(key: string, write: StatusWrite, why: string): void {
    const isFirst = this.#refused.add(key, () => {
      this.#writes.set(key, write);
      this.#write();
    });
    if (isFirst) this.#options.events.told('Warning', 'AllocationFailed', write.service, why);
  }

  #isWriter(): boolean {
    return this.#leads && !this.#stopped && this.#options.mayWrite();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(this.#backOff.next(), resolve);
      this.#cancelRetry = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Why the API server refuses it for this Service; undefined: it is done. Throws where the server has trouble with all. */
  async #writeOne({ service, addresses, decision }: StatusWrite): Promise<string | undefined> {
    const { assigned, namespace, name, resourceVersion, foreignStatus } = service;
    const changes = foreignStatus || addresses.join() !== assigned.join();
    if (changes) {
      const status = await this.#options.patch(`/api/v1/namespaces/${namespace}/services/${name}/status`, {
        metadata: { resourceVersion },
        // ipMode VIP: the nodes themselves take what is sent to the address.
        status: { loadBalancer: { ingress: addresses.map((ip) => ({ ip, ipMode: 'VIP' })) } },
      });
      // Changed or deleted meanwhile: the watch brings what it is now, and that is decided anew.
      if (status === 409 || status === 404) return undefined;
      if (OF_ALL.has(status)) throw new Error(refusal(status, `${namespace}/${name}`));
      if (status !== 200) return refusal(status, `${namespace}/${name}`);
    }
    const { told } = this.#options.events;
    if (decision.type === 'refused') {
      const lost = assigned.length > 0 && changes ? `; ${assigned.join(', ')} was taken back` : '';
      told('Warning', 'AllocationFailed', service, `${decision.why}${lost}`);
    } else if (changes)
      told('Normal', 'IPAllocated', service, `${addresses.join(', ')} of pool ${decision.pool}`);
    return undefined;
  }
}

/** Answers that concern whoever asks, not the Service: not known, too many requests, a proxy or server that cannot now. */
const OF_ALL: ReadonlySet<number> = new Set([401, 429, 502, 503, 504]);

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
