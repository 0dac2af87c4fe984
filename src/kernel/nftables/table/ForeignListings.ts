/**
 * Whether another program lists the rules of this host. nft begins anew when a transaction, of anybody, came between its first question
 * and its last, so with changes all the time a long list never ends. Who writes can wait a little instead: not for one change,
 * which costs nft one more beginning, but where one follows the other.
 */
import { readFileSync } from 'node:fs';
import { type Clock, sleep, systemClock } from '../../../time/Clock.js';
import type { Milliseconds } from '../../../time/duration.js';

/** The kernel tells of each netlink socket of the namespace whether a list is being sent to it (net/netlink/af_netlink.c). */
const SOCKETS = '/proc/net/netlink';
/** NETLINK_NETFILTER. */
const NETFILTER = '12';
/** Port numbers of further sockets of a process: negative ones, by chance. */
const FIRST_RANDOM = 2 ** 31;
/** Others ask this part of the kernel for lists too, of connections for example. */
const LISTS_RULES = /^(nft|ip6?tables|x?tables|ebtables|firewalld)/;

/** Changes that follow each other this closely would keep a list from its end. */
const CHURN_MS: Milliseconds = 1000;
/** How often it is looked whether the other is gone. */
const LOOK_MS: Milliseconds = 10;
/**
 * What is waited for a list, unless its program ends before, and then for none. Between the kernel's last element and nft's question
 * whether anything changed, nft works for itself, 1.2 s for 100,000 elements, and more on a busy machine: who is seen to have begun
 * anew has twice the time.
 */
const PATIENCE_MS: Milliseconds = 2000;
const MOST_PATIENCE_MS: Milliseconds = 4000;
const PAUSE_MS: Milliseconds = 3000;

export interface ForeignListingsOptions {
  readonly clock?: Clock;
  /** A file as text; throws as readFileSync. */
  readonly read?: (path: string) => string;
}

interface Socket {
  readonly protocol: string | undefined;
  readonly portId: number;
  /** A list is being sent to it. */
  readonly isListed: boolean;
}

export class ForeignListings {
  readonly #clock: Clock;
  readonly #read: (path: string) => string;
  #changedAt = Number.NEGATIVE_INFINITY;
  #patience = PATIENCE_MS;
  /** Port number of who was waited for: when it begins anew, nft opens another socket, with the same number. */
  #waitedFor: number | undefined;
  /** Nothing is waited for before. */
  #pauseUntil = Number.NEGATIVE_INFINITY;

  constructor({
    clock = systemClock,
    read = (path) => readFileSync(path, 'latin1'),
  }: ForeignListingsOptions = {}) {
    this.#clock = clock;
    this.#read = read;
  }

  /** A transaction was written. */
  changed(): void {
    this.#changedAt = this.#clock.now();
  }

  /** Resolves when it is time to write: at once, mostly; after four seconds at most. Never rejects. */
  async over(): Promise<void> {
    const begun = this.#clock.now();
    if (begun - this.#changedAt > CHURN_MS || begun < this.#pauseUntil) return;
    const listing = this.#sockets().find(
      ({ portId, isListed, protocol }) => protocol === NETFILTER && isListed && this.#listsRules(portId),
    );
    if (listing === undefined) return;
    const again = listing.portId === this.#waitedFor;
    this.#patience = again ? Math.min(this.#patience * 2, MOST_PATIENCE_MS) : PATIENCE_MS;
    this.#waitedFor = listing.portId;
    const isThere = () =>
      this.#sockets().some(({ protocol, portId }) => protocol === NETFILTER && portId === listing.portId);
    do await sleep(this.#clock, LOOK_MS);
    while (this.#clock.now() - begun < this.#patience && isThere());
    this.#pauseUntil = this.#clock.now() + PAUSE_MS;
  }

  #sockets(): Socket[] {
    try {
      const lines = this.#read(SOCKETS).split('\n').slice(1);
      return lines.map((line) => {
        const [, protocol, portId, , , , isListed] = line.trim().split(/\s+/);
        return { protocol, portId: Number(portId), isListed: isListed === '1' };
      });
    } catch {
      return [];
    }
  }

  /** The first netlink socket of a process has its number; whoever is in another PID namespace may list rules. */
  #listsRules(portId: number): boolean {
    if (portId >= FIRST_RANDOM) return false;
    try {
      return LISTS_RULES.test(this.#read(`/proc/${portId}/comm`));
    } catch {
      return true;
    }
  }
}
