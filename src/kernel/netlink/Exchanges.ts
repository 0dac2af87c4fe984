/** The requests that wait for the kernel's answers, found by sequence number, each with its deadline. */

import { constants } from 'node:os';
import type { Clock } from '../../time/Clock.js';
import type { Message } from './Message.js';
import { NetlinkError } from './NetlinkError.js';
import type { Reply } from './replies.js';

export interface Exchange<Result = unknown> {
  /** For errors: what was to be done. */
  readonly what: string;
  /** Its sequence numbers: `count` from `first` on. */
  readonly first: number;
  readonly count: number;
  /** Whether all answers are queued when send() returns; a dump goes on while we read it. */
  readonly kind: 'answered at once' | 'answered in parts';
  readonly reply: Reply<Result>;
}

interface Waiting {
  readonly exchange: Exchange;
  readonly finish: () => void;
  readonly fail: (error: NetlinkError) => void;
  cancel: () => void;
  /** Whether an answer came since the timer was set. */
  heard: boolean;
  /** Whether the event loop has to wait for it. */
  isAwaited: boolean;
}

export class Exchanges {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #onBusy: (busy: boolean) => void;
  readonly #readWhatCame: () => void;
  /** By first sequence number, in the order they were sent. */
  readonly #waiting = new Map<number, Waiting>();
  #awaited = 0;

  /**
   * `onBusy` hears when the first exchange begins to wait and when the last one has ended. `readWhatCame` is called before one is given up:
   * where a long sync held the event loop, the time is over before anybody has looked.
   */
  constructor(clock: Clock, timeoutMs: number, onBusy: (busy: boolean) => void, readWhatCame: () => void) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#onBusy = onBusy;
    this.#readWhatCame = readWhatCame;
  }

  /**
   * Rejects with NetlinkError: refused, ETIMEDOUT, or what failAll() gives. Most are answered before anybody has to wait: awaitAnswer()
   * says that this one is not.
   */
  add<Result>(exchange: Exchange<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        exchange,
        finish: () => {
          try {
            resolve(exchange.reply.result());
          } catch (error) {
            reject(error);
          }
        },
        fail: reject,
        cancel: () => {},
        heard: false,
        isAwaited: false,
      };
      this.#waiting.set(exchange.first, waiting);
    });
  }

  /** The time of the exchange begins, and the process stays for it, unless it has ended. */
  awaitAnswer(first: number): void {
    const waiting = this.#waiting.get(first);
    if (waiting === undefined) return;
    this.#setTimer(waiting);
    waiting.isAwaited = true;
    if (++this.#awaited === 1) this.#onBusy(true);
  }

  /** Gives an answer to the exchange of its sequence number; one that nobody waits for any more is dropped. */
  take(message: Message): void {
    const waiting = this.#find(message.sequence);
    if (waiting === undefined) return;
    waiting.heard = true;
    const { first, reply } = waiting.exchange;
    if (!reply.take(message, message.sequence - first)) return;
    this.#remove(waiting);
    waiting.finish();
  }

  /** Fails all exchanges, or those of one kind. */
  failAll(makeError: (what: string) => NetlinkError, kind?: Exchange['kind']): void {
    for (const waiting of [...this.#waiting.values()]) {
      if (kind !== undefined && waiting.exchange.kind !== kind) continue;
      this.#remove(waiting);
      waiting.fail(makeError(waiting.exchange.what));
    }
  }

  #find(sequence: number): Waiting | undefined {
    const exact = this.#waiting.get(sequence);
    if (exact !== undefined) return exact;
    for (const waiting of this.#waiting.values()) {
      const { first, count } = waiting.exchange;
      if (sequence >= first && sequence < first + count) return waiting;
    }
    return undefined;
  }

  #remove(waiting: Waiting): void {
    waiting.cancel();
    this.#waiting.delete(waiting.exchange.first);
    if (waiting.isAwaited && --this.#awaited === 0) this.#onBusy(false);
  }

  #setTimer(waiting: Waiting): void {
    waiting.heard = false;
    waiting.cancel = this.#clock.after(this.#timeoutMs, () => this.#timeOut(waiting));
  }

  #timeOut(waiting: Waiting): void {
    if (!waiting.heard) this.#readWhatCame();
    if (this.#waiting.get(waiting.exchange.first) !== waiting) return;
    if (waiting.heard) {
      this.#setTimer(waiting);
      return;
    }
    this.#remove(waiting);
    const words = `no answer from the kernel in ${this.#timeoutMs} ms`;
    waiting.fail(new NetlinkError(waiting.exchange.what, { errno: -constants.errno.ETIMEDOUT, words }));
  }
}
