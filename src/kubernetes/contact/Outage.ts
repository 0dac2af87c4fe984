/** Says that the API server is away: once soon, then more and more rarely, and once when it is back for good. */
import { messageOf, PenstockError } from '../../errors.js';
import type { Clock } from '../../time/Clock.js';

export interface SourceLog {
  info(message: string): void;
  warn(message: string): void;
}

/** Milliseconds an outage must last to be worth a line. */
const FIRST_LINE_MS = 2_000;
/** Milliseconds until the next lines; the last one repeats. */
const REMINDERS_MS = [300_000, 900_000, 3_600_000];
/** Milliseconds without a failure after which an outage counts as over: servers that come and go make one outage. */
const SETTLED_MS = 5_000;

export class Outage {
  readonly #clock: Clock;
  readonly #server: string;
  readonly #log: SourceLog;
  readonly #consequence: () => string;
  /** Titles of the resources that fail, and what they said last. */
  readonly #failing = new Map<string, unknown>();
  /** undefined: there is none. */
  #began: number | undefined;
  #attempts = 0;
  #lines = 0;
  #lastLine = 0;
  #cancel: () => void = () => undefined;

  /** `consequence`: what that means for the rules, now, in a sentence. */
  constructor(clock: Clock, server: string, log: SourceLog, consequence: () => string) {
    this.#clock = clock;
    this.#server = server;
    this.#log = log;
    this.#consequence = consequence;
  }

  failed(title: string, error: unknown): void {
    const now = this.#clock.now();
    this.#began ??= now;
    this.#attempts++;
    this.#failing.set(title, error);
    this.#cancel();
    const next =
      this.#lines === 0
        ? this.#began + FIRST_LINE_MS
        : this.#lastLine + (REMINDERS_MS[Math.min(this.#lines, REMINDERS_MS.length) - 1] ?? 0);
    if (next <= now) this.#say();
    else this.#cancel = this.#clock.after(next - now, () => this.#say());
  }

  answered(title: string): void {
    if (!this.#failing.delete(title) || this.#failing.size > 0 || this.#began === undefined) return;
    const lasted = this.#clock.now() - this.#began;
    this.#cancel();
    this.#cancel = this.#clock.after(SETTLED_MS, () => {
      if (this.#lines > 0)
        this.#log.info(`API server ${this.#server}: answers again, after ${duration(lasted)}`);
      this.#began = undefined;
      this.#attempts = 0;
      this.#lines = 0;
    });
  }

  /** Says no more. */
  stop(): void {
    this.#cancel();
    this.#cancel = () => undefined;
  }

  #say(): void {
    const now = this.#clock.now();
    this.#lines++;
    this.#lastLine = now;
    const [error] = [...this.#failing.values()].slice(-1);
    const titles = [...this.#failing.keys()].join(', ');
    const remedy = error instanceof PenstockError && error.remedy !== undefined ? ` ${error.remedy}` : '';
    this.#log.warn(
      `API server ${this.#server}: ${messageOf(error)} (${titles}; ${counted(this.#attempts)} in ` +
        `${duration(now - (this.#began ?? now))}). ${this.#consequence()}${remedy}`,
    );
  }
}

function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

function counted(attempts: number): string {
  return `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`;
}
