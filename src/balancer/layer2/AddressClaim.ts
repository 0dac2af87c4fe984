/**
 * One address on one interface of this node: what the election wants of it, what the wire says, and what follows. Pure: the
 * orders go to the responder, whose events come back.
 */
import type { IpAddress } from '../../net/ip.js';
import type { GiveWay, Order } from './orders.js';

/** Milliseconds that a node answers on for an address that another is to announce. */
export const CEDE_MS = 5000;
/** Takeover: who had it is gone, one unanswered probe is enough. A new address may be a stranger's: RFC 5227 asks for three. */
const TAKEOVER = { probes: 1, intervalMs: 100 } as const;
const FIRST = { probes: 3, intervalMs: 200 } as const;
/** After a peer answered or came first on the wire: views of the cluster differ, and soon will not. */
const RETRY_MS = { first: 400, longest: 2000 } as const;
/** After a stranger answered. */
const CONFLICT_RETRY_MS = { first: 10_000, longest: 120_000 } as const;

export type ClaimState = 'observing' | 'probing' | 'owning' | 'ceding';

/** What the election came to. */
export interface Wanted {
  /** Undefined: nobody is to announce it. */
  readonly owner: string | undefined;
  /** To whom an owner gives way that has not announced it yet. */
  readonly giveWay: GiveWay;
}

export class AddressClaim {
  readonly address: IpAddress;
  readonly interface: number;
  readonly #self: string;
  readonly #random: () => number;
  #state: ClaimState = 'observing';
  #wanted: Wanted = { owner: undefined, giveWay: 'to nobody' };
  /** Nobody else was ever to announce it, as far as this node knows. */
  #isNew = true;
  #failures = 0;
  #retryAt = 0;
  /** Whether the listener was told that it is announced. */
  isTold = false;
  /** Hardware address of the stranger that has it; undefined: none. */
  conflict: string | undefined;
  /** Name of the peer heard to have it, undefined when nobody was heard. */
  heardPeer: string | undefined;

  constructor(address: IpAddress, index: number, self: string, random: () => number) {
    this.address = address;
    this.interface = index;
    this.#self = self;
    this.#random = random;
  }

  get state(): ClaimState {
    return this.#state;
  }

  /** Whether it is answered for. */
  get isAnnounced(): boolean {
    return this.#state === 'owning' || this.#state === 'ceding';
  }

  /** When to call next() again, undefined when there is nothing to wait for. */
  get retryAt(): number | undefined {
    return this.#state === 'observing' && this.#wanted.owner === this.#self ? this.#retryAt : undefined;
  }

  want(wanted: Wanted, now: number): Order | undefined {
    if (wanted.owner !== this.#wanted.owner || wanted.giveWay !== this.#wanted.giveWay) {
      // What stood in the way may have gone.
      if (this.conflict === undefined) this.#retryAt = 0;
    }
    this.#wanted = wanted;
    if (wanted.owner !== undefined && wanted.owner !== this.#self) this.#isNew = false;
    return this.next(now);
  }

  /** The order that is due now. */
  next(now: number): Order | undefined {
    const { owner, giveWay } = this.#wanted;
    const { address, interface: index } = this;
    if (owner === this.#self) {
      if (this.#state === 'ceding' || (this.#state === 'observing' && now >= this.#retryAt)) {
        this.#state = 'probing';
        const probing = this.#isNew ? FIRST : TAKEOVER;
        return { command: 'claim', interface: index, address, giveWay, ...probing };
      }
      return undefined;
    }
    if (this.#state === 'probing' || (this.#state === 'owning' && owner === undefined)) {
      this.#state = 'observing';
      return { command: 'release', interface: index, address };
    }
    if (this.#state === 'ceding' && owner === undefined) {
      this.#state = 'observing';
      return { command: 'release', interface: index, address };
    }
    if (this.#state !== 'owning') return undefined;
    this.#state = 'ceding';
    return { command: 'cede', interface: index, address, withinMs: CEDE_MS };
  }

  /**
   * What was ordered before an event came in may be older than the event, or newer. Owned without being wanted it would never be handed
   * over, so it is released; the release may come twice.
   */
  claimed(): Order | undefined {
    if (this.#state === 'ceding') return undefined;
    if (this.#state === 'observing' && this.#wanted.owner !== this.#self)
      return { command: 'release', interface: this.interface, address: this.address };
    this.#state = 'owning';
    this.#isNew = false;
    this.#failures = 0;
    this.conflict = undefined;
    this.heardPeer = undefined;
    return undefined;
  }

  /** A peer has it, or comes first on the wire. */
  lost(peer: string, now: number): void {
    this.#state = 'observing';
    this.#isNew = false;
    this.heardPeer = peer;
    this.#retryAt = now + this.#wait(RETRY_MS);
  }

  ceded(peer: string): void {
    // It was claimed anew since.
    if (this.#state !== 'ceding') return;
    this.#state = 'observing';
    this.heardPeer = peer === '' ? undefined : peer;
    this.#failures = 0;
    this.#retryAt = 0;
  }

  /** `ended`: it was not ours yet. An owner goes on. */
  conflicted(mac: string, ended: boolean, now: number): void {
    this.conflict = mac;
    if (!ended) return;
    this.#state = 'observing';
    this.#retryAt = now + this.#wait(CONFLICT_RETRY_MS);
  }

  /** Who has it is no stranger, as is known now. */
  recognised(peer: string, now: number): void {
    this.conflict = undefined;
    this.heardPeer = peer;
    this.#isNew = false;
    this.#failures = 0;
    this.#retryAt = now + this.#wait(RETRY_MS);
  }

  /** A peer is silent from now on: what it had may be asked for at once. */
  silent(peer: string): void {
    if (peer !== this.heardPeer || this.conflict !== undefined) return;
    this.#failures = 0;
    this.#retryAt = 0;
  }

  seen(peer: string): void {
    this.heardPeer = peer === '' ? undefined : peer;
  }

  #wait({ first, longest }: { readonly first: number; readonly longest: number }): number {
    const base = Math.min(longest, first * 2 ** Math.min(this.#failures++, 10));
    return base * (0.5 + this.#random());
  }
}
