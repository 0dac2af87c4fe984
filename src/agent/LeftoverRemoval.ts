/** Takes away what another mode left when a node changes its mode: again after a while where it fails, so that no restart is needed. */
import type { Logger } from 'pino';
import { BackOff } from '../time/BackOff.js';
import type { Clock } from '../time/Clock.js';

export interface LeftoverRemovalOptions {
  /** False: what is there may be that of another proxy, whom the node is to be left to. goOn() then tells when that is over. */
  readonly mayRemove: () => boolean;
  /** Takes away what it can. What may be left, with the reason; empty when nothing is. */
  readonly remove: () => Promise<readonly string[]>;
  readonly clock: Clock;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  readonly log: Logger;
}

/** About five minutes. What fails as often does so for a reason that stays: a read-only /proc, a program that is missing. */
const TRIES = 15;

export class LeftoverRemoval {
  readonly #options: LeftoverRemovalOptions;
  readonly #backOff: BackOff;
  readonly #told = new Set<string>();
  #cancel: () => void = () => {};
  #running: Promise<void> = Promise.resolve();
  #isStopped = false;
  /** It was not to be removed when it was time to. */
  #isOwed = false;

  constructor(options: LeftoverRemovalOptions) {
    this.#options = options;
    this.#backOff = new BackOff(options.random);
  }

  /** Resolves after the first try. */
  run(): Promise<void> {
    this.#running = this.#try();
    return this.#running;
  }

  /** What was there may be removed now. Resolves after the first try, if there was something to do. */
  async goOn(): Promise<void> {
    if (this.#isOwed && !this.#isStopped) await this.run();
  }

  /** No try begins any more; one that runs has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
    await this.#running;
  }

  async #try(): Promise<void> {
    const { mayRemove, remove, clock, log } = this.#options;
    this.#isOwed = !mayRemove();
    if (this.#isOwed) return;
    const left = await remove();
    // Each reason once.
    for (const text of left) if (!this.#told.has(text)) log.warn(text);
    for (const text of left) this.#told.add(text);
    if (left.length === 0) {
      if (this.#told.size > 0) log.info('nothing of another mode is left');
      return;
    }
    if (this.#isStopped || this.#backOff.failures >= TRIES) return;
    this.#cancel = clock.after(this.#backOff.next(), () => void this.run());
  }
}
