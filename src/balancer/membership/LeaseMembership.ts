/**
 * Who may announce, from one Lease a node: each node renews its own and watches all. The cost is candidates over renewal time,
 * whatever the number of Services.
 *
 * The age of a Lease is how long this node has not seen it change, on its own clock: clocks of nodes differ. Whether this node
 * sees anything at all, its own Lease tells: a renewal that does not come back through the watch freezes the view.
 */
import { messageOf } from '../../errors.js';
import type { ApiTransport } from '../../kubernetes/http/ApiTransport.js';
import type { Clock } from '../../time/Clock.js';
import { leaseName, readLease, refusal, writeLease } from './leases.js';
import { type Member, type MembershipView, plainMember } from './Member.js';

/** Milliseconds. */
export const RENEW_MS = 2200;
export const LEASE_MS = 6000;
/** So long this node must have heard none of several others, whose Leases run, to call itself deaf. */
export const DEAF_MS = 3000;
/** How long the hardware addresses of a node are known after its Lease has gone. */
const REMEMBER_MS = 3_600_000;
const LOOK_MS = 500;

/** What a Lease says of its node, besides that it lives. */
export type OwnFacts = Omit<Member, 'name' | 'fresh'>;

export interface LeaseApi extends Pick<ApiTransport, 'server'> {
  /** Resolves to the status. Rejects when there is no answer. */
  send(method: 'POST' | 'PATCH', path: string, body: unknown): Promise<number>;
}

export interface LeaseMembershipOptions {
  readonly api: LeaseApi;
  readonly namespace: string;
  readonly node: string;
  readonly clock: Clock;
  /** 0 up to 1. */
  readonly random: () => number;
  /** Milliseconds since the epoch, for people who read the Lease. */
  readonly wallClock: () => number;
  readonly facts: () => Omit<OwnFacts, 'deaf'>;
  /** Names of the nodes whose heartbeats come in. */
  readonly heard: () => ReadonlySet<string>;
  readonly onView: (view: MembershipView) => void;
  /** The Lease was renewed by a request that was sent at `sentAt`, on the clock of `now`. */
  readonly onRenewed: (sentAt: number) => void;
  /** As the responder's. */
  readonly now: () => number;
  /** This node calls itself deaf from now on, or no longer. */
  readonly onDeaf: (deaf: boolean) => void;
  /** Once when renewing fails, and once when it works again (undefined). */
  readonly onTrouble: (why: string | undefined) => void;
}

interface Seen {
  /** resourceVersion. */
  readonly version: string;
  readonly member: Omit<Member, 'fresh'>;
  changedAt: number;
  gone: boolean;
}

export class LeaseMembership {
  readonly #options: LeaseMembershipOptions;
  readonly #seen = new Map<string, Seen>();
  #freshAtLast: ReadonlySet<string> = new Set();
  #leaving = false;
  #connected = false;
  /** When our own Lease was last seen to change through the watch. */
  #echoAt = Number.NEGATIVE_INFINITY;
  #trouble: string | undefined;
  #last = '';
  /** Since when none of the others is heard; undefined: one is, or there are too few to tell. */
  #unheardSince: number | undefined;
  #deaf = false;
  #cancelLook: (() => void) | undefined;
  #cancelRenew: (() => void) | undefined;
  #renewing: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(options: LeaseMembershipOptions) {
    this.#options = options;
  }

  start(): void {
    this.#look();
    this.#renew();
  }

  /** No call comes after this. The Lease is left to run out, unless leave() was called. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelLook?.();
    this.#cancelRenew?.();
    await this.#renewing;
  }

  /** The facts have changed: the others must not wait for the next renewal. */
  factsChanged(): void {
    this.#tell();
    this.#renew();
  }

  /** Tells the others that this node is no candidate any more. */
  async leave(): Promise<void> {
    this.#leaving = true;
    this.#renew();
    await this.#renewing;
  }

  /** From the watch of Leases. Anything may come in. */
  upsert(raw: unknown): void {
    const lease = readLease(raw);
    if (!lease) return;
    const { member } = lease;
    const before = this.#seen.get(member.name);
    const now = this.#options.clock.now();
    // Delivered anew, it has not lived meanwhile.
    const same = before !== undefined && !before.gone && before.version === lease.version;
    this.#seen.set(member.name, {
      version: lease.version,
      member,
      changedAt: same ? before.changedAt : now,
      gone: false,
    });
    if (member.name === this.#options.node && !same) this.#echo(now);
    this.#tell();
  }

  /** A Lease that is deleted says no more of its node than one that is not renewed. */
  remove(raw: unknown): void {
    const lease = readLease(raw);
    const seen = lease && this.#seen.get(lease.member.name);
    if (!seen) return;
    seen.gone = true;
    this.#tell();
    // Somebody tidied up: the others wait for this one as long as for one that is not renewed.
    if (seen.member.name === this.#options.node && !this.#leaving) this.#renew();
  }

  #echo(now: number): void {
    this.#echoAt = now;
    if (this.#connected) return;
    this.#connected = true;
    // Nobody could be seen to live meanwhile.
    for (const seen of this.#seen.values()) seen.changedAt = Math.max(seen.changedAt, now);
  }

  #look(): void {
    if (this.#stopped) return;
    const now = this.#options.clock.now();
    if (now - this.#echoAt > LEASE_MS) this.#connected = false;
    for (const [name, { changedAt }] of this.#seen)
      if (this.#connected && now - changedAt > REMEMBER_MS) this.#seen.delete(name);
    this.#listen(now);
    this.#tell();
    this.#cancelLook = this.#options.clock.after(LOOK_MS, () => this.#look());
  }

  /**
   * One other that is not heard may have lost its voice; of several, whose Leases say that they live and send heartbeats, all have not.
   * Nothing is learned while Leases do not come in.
   */
  #listen(now: number): void {
    const { node, heard } = this.#options;
    if (!this.#connected) {
      this.#unheardSince = undefined;
      return;
    }
    const names = heard();
    // When the API server is away, all Leases get old at once: that frees nobody from being deaf.
    const oldest = this.#deaf ? 2 * LEASE_MS : LEASE_MS;
    let others = 0;
    let heardOthers = 0;
    for (const [name, { member, changedAt, gone }] of this.#seen) {
      if (gone || now - changedAt > oldest || name === node || member.address === undefined) continue;
      others++;
      if (names.has(name)) heardOthers++;
    }
    if (others < 2 || heardOthers > 0) this.#unheardSince = undefined;
    else this.#unheardSince ??= now;
    const deaf = this.#unheardSince !== undefined && now - this.#unheardSince >= DEAF_MS;
    if (deaf || this.#unheardSince === undefined) this.#setDeaf(deaf);
  }

  /** A heartbeat came in from a node that was not heard. What follows from it must not wait for the next look. */
  peerHeard(): void {
    this.#unheardSince = undefined;
    this.#setDeaf(false);
    this.#tell();
  }

  #setDeaf(deaf: boolean): void {
    if (deaf === this.#deaf) return;
    this.#deaf = deaf;
    this.#options.onDeaf(deaf);
    this.#renew();
  }

  /** What is said of this node. */
  #own(): OwnFacts {
    const facts = this.#options.facts();
    return this.#deaf ? { ...facts, deaf: true } : facts;
  }

  #tell(): void {
    if (this.#stopped) return;
    const { clock, node, onView } = this.#options;
    const now = clock.now();
    const members = new Map<string, Member>();
    for (const [name, { member, changedAt }] of this.#seen) {
      const frozen = !this.#connected && this.#freshAtLast.has(name);
      const fresh = this.#connected ? now - changedAt <= LEASE_MS : frozen;
      members.set(name, { ...member, fresh });
    }
    members.set(node, { ...this.#own(), name: node, fresh: true });
    if (this.#connected)
      this.#freshAtLast = new Set([...members.values()].filter(({ fresh }) => fresh).map(({ name }) => name));
    const view = { members, connected: this.#connected };
    const text = JSON.stringify([this.#connected, [...members.values()].map(plainMember)]);
    if (text === this.#last) return;
    this.#last = text;
    onView(view);
  }

  #renew(): void {
    this.#cancelRenew?.();
    if (this.#stopped) return;
    if (this.#renewing) {
      this.#again = true;
      return;
    }
    this.#renewing = this.#send().finally(() => {
      this.#renewing = undefined;
      if (this.#stopped) return;
      if (this.#again) {
        this.#again = false;
        this.#renew();
      } else this.#cancelRenew = this.#options.clock.after(RENEW_MS, () => this.#renew());
    });
  }

  async #send(): Promise<void> {
    const { api, namespace, node, wallClock, now, onRenewed } = this.#options;
    const sentAt = now();
    const collection = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
    const seconds = LEASE_MS / 1000;
    const lease = writeLease({
      node,
      namespace,
      facts: this.#leaving ? { ...this.#own(), advertises: new Map() } : this.#own(),
      now: wallClock(),
      seconds,
    });
    try {
      let status = await api.send('PATCH', `${collection}/${leaseName(node)}`, lease);
      if (status === 404) status = await api.send('POST', collection, lease);
      // Another process of this node was faster.
      if (status === 409) status = await api.send('PATCH', `${collection}/${leaseName(node)}`, lease);
      if (status >= 300) throw new Error(refusal(status));
      if (!this.#leaving) onRenewed(sentAt);
      this.#troubled(undefined);
    } catch (error) {
      this.#troubled(messageOf(error));
    }
  }

  #troubled(why: string | undefined): void {
    if (this.#stopped || (why === undefined) === (this.#trouble === undefined)) return;
    this.#trouble = why;
    this.#options.onTrouble(why);
  }
}
