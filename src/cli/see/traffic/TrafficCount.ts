/**
 * What connections to Services do between two looks at the kernel's table: how many are new, open, unanswered, and how many
 * bytes they carried. Pure: entries come in, rows come out.
 */
import type { ConntrackEntry } from '../../../kernel/conntrack/ConntrackEntry.js';
import { ConntrackStatus, TcpState } from '../../../kernel/conntrack/constants.js';

/** Connections that are looked at in one walk; of a longer table the figures are those of the first so many. */
export const MOST_CONNECTIONS = 200_000;

export interface TrafficRow {
  /** A Service port, or an endpoint. */
  readonly name: string;
  /** Connections a second that were not there before. */
  readonly newPerSecond: number;
  readonly open: number;
  /** Of both directions; null where the kernel does not count. */
  readonly bytesPerSecond: number | null;
  /** Connections without any answer, now and a look ago. */
  readonly silent: number;
}

export interface TrafficSample {
  readonly rows: readonly TrafficRow[];
  /** Connections to what was asked for. */
  readonly connections: number;
  /** There are more than were looked at. */
  readonly isCut: boolean;
  /** Milliseconds since the look before; 0 in the first, in which nothing can be new. */
  readonly elapsed: number;
}

interface Sum {
  fresh: number;
  open: number;
  bytes: number;
  isCounted: boolean;
  silent: number;
}

/** What is remembered of a connection: its bytes, below 0 (-1 - bytes) while it has no answer. */
type Memory = number;

export class TrafficCount {
  readonly #nameOf: (entry: ConntrackEntry) => string | undefined;
  readonly #most: number;
  /** By the kernel's id of the connection. */
  #before = new Map<number, Memory>();
  #now = new Map<number, Memory>();
  #sums = new Map<string, Sum>();
  #lastLook: number | undefined;
  #looked = 0;
  #connections = 0;
  #isCut = false;

  /** `nameOf`: the row that a connection counts for; undefined for none. */
  constructor(nameOf: (entry: ConntrackEntry) => string | undefined, most = MOST_CONNECTIONS) {
    this.#nameOf = nameOf;
    this.#most = most;
  }

  /** False when enough were looked at. */
  take(entry: ConntrackEntry): boolean {
    if (this.#looked >= this.#most) {
      this.#isCut = true;
      return false;
    }
    this.#looked++;
    const name = this.#nameOf(entry);
    if (name !== undefined) this.#add(name, entry);
    return true;
  }

  #add(name: string, { id, status, tcpState, bytes }: ConntrackEntry): void {
    this.#connections++;
    const sum = this.#sumOf(name);
    const isAnswered = (status & ConntrackStatus.SEEN_REPLY) !== 0;
    const known = this.#before.get(id);
    if (known === undefined) sum.fresh++;
    else if (known < 0 && !isAnswered) sum.silent++;
    if (isAnswered && (tcpState === undefined || tcpState === TcpState.ESTABLISHED)) sum.open++;
    if (bytes !== undefined) {
      sum.isCounted = true;
      // Another connection may have got the same id meanwhile: it has fewer.
      sum.bytes += Math.max(0, bytes - (known === undefined ? 0 : known < 0 ? -1 - known : known));
    }
    const counted = bytes ?? 0;
    this.#now.set(id, isAnswered ? counted : -1 - counted);
  }

  #sumOf(name: string): Sum {
    const known = this.#sums.get(name);
    if (known !== undefined) return known;
    const sum = { fresh: 0, open: 0, bytes: 0, isCounted: false, silent: 0 };
    this.#sums.set(name, sum);
    return sum;
  }

  /** Ends a look; `now` in milliseconds is when it began. */
  end(now: number): TrafficSample {
    const elapsed = this.#lastLook === undefined ? 0 : Math.max(1, now - this.#lastLook);
    const perSecond = (amount: number) => (elapsed === 0 ? 0 : (amount * 1000) / elapsed);
    const rows = [...this.#sums].map(([name, sum]) => ({
      name,
      newPerSecond: perSecond(sum.fresh),
      open: sum.open,
      bytesPerSecond: sum.isCounted ? perSecond(sum.bytes) : null,
      silent: sum.silent,
    }));
    const sample = { rows, connections: this.#connections, isCut: this.#isCut, elapsed };
    this.#before = this.#now;
    this.#now = new Map();
    this.#sums = new Map();
    this.#lastLook = now;
    this.#looked = 0;
    this.#connections = 0;
    this.#isCut = false;
    return sample;
  }
}
