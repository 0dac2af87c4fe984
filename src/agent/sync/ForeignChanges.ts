/**
 * What others do to our rules. One command of theirs is heard of by each family, one after the other: what comes within a moment
 * is one event, with one line and one place in the pace of repairs.
 */
import type { Clock } from '../../time/Clock.js';
import { RepairPacer } from './RepairPacer.js';

/** Milliseconds. */
const MOMENT_MS = 100;
/** Texts that a line names. */
const NAMED = 5;

export class ForeignChanges {
  readonly #clock: Clock;
  readonly #pacer: RepairPacer;
  readonly #tell: (what: string, delayMs: number) => void;
  readonly #gathered = new Set<string>();
  #delayMs = 0;
  #cancel: () => void = () => {};

  /** `tell` hears of each event once; `delayMs`: until its repair. */
  constructor(clock: Clock, tell: (what: string, delayMs: number) => void) {
    this.#clock = clock;
    this.#pacer = new RepairPacer(clock.now());
    this.#tell = tell;
  }

  /** Milliseconds to wait before the repair; 0 as long as they are rare. */
  add(what: string): number {
    if (this.#gathered.size === 0) {
      this.#delayMs = this.#pacer.next(this.#clock.now());
      this.#cancel = this.#clock.after(MOMENT_MS, () => this.flush());
    }
    this.#gathered.add(what);
    return this.#delayMs;
  }

  /** Tells what is gathered now: what follows from it is about to be told. */
  flush(): void {
    this.#cancel();
    if (this.#gathered.size === 0) return;
    const all = [...this.#gathered];
    this.#gathered.clear();
    const rest = all.length - NAMED;
    this.#tell(`${all.slice(0, NAMED).join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`, this.#delayMs);
  }
}
