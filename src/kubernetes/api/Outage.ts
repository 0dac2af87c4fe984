/** Says that the API server is away: once soon, then more and more rarely, and once when it is back. */
import { messageOf, PenstockError } from '../../errors.js';
import type { Clock } from './Clock.js';

export interface SourceLog {
  info(message: string): void;
  warn(message: string): void;
}

export interface SourceState {
  readonly reachable: boolean;
  /** For how long that has been so, in milliseconds. */
  readonly since: number;
  /** What the last failure said, with the resource: `Services: HTTP 500: …`; undefined while reachable. */
  readonly reason: string | undefined;
}

/** Milliseconds an outage must last to be worth a line, and until the next lines; the last one repeats. */
const LINES_AFTER = [2_000, 60_000, 600_000, 3_600_000];

export class Outage {
  readonly #clock: Clock;
  readonly #server: string;
  readonly #log: SourceLog;
  /** By resource; when it began to fail and what it said last. */
  readonly #failing = new Map<string, { readonly since: number; attempts: number; error: unknown }>();
  #changed: number;
  #lines = 0;
  #lastLine = 0;

  constructor(clock: Clock, server: string, log: SourceLog) {
    this.#clock = clock;
    this.#server = server;
    this.#log = log;
    this.#changed = clock.now();
  }

  state(): SourceState {
    const [first] = this.#failing;
    const since = this.#clock.now() - this.#changed;
    if (first === undefined) return { reachable: true, since, reason: undefined };
    return { reachable: false, since, reason: `${first[0]}: ${messageOf(first[1].error)}` };
  }

  failed(title: string, error: unknown): void {
    const now = this.#clock.now();
    if (this.#failing.size === 0) this.#changed = now;
    const entry = this.#failing.get(title);
    if (entry) {
      entry.attempts++;
      entry.error = error;
    } else this.#failing.set(title, { since: now, attempts: 1, error });
    const lasted = now - this.#changed;
    const sinceLine = this.#lines === 0 ? lasted : now - this.#lastLine;
    if (sinceLine < (LINES_AFTER[Math.min(this.#lines, LINES_AFTER.length - 1)] ?? 0)) return;
    this.#lines++;
    this.#lastLine = now;
    this.#log.warn(this.#describe(title, error, lasted));
  }

  answered(title: string): void {
    if (!this.#failing.delete(title) || this.#failing.size > 0) return;
    const lasted = this.#clock.now() - this.#changed;
    this.#changed = this.#clock.now();
    if (this.#lines > 0)
      this.#log.info(`API server ${this.#server}: answers again, after ${duration(lasted)}`);
    this.#lines = 0;
  }

  #describe(title: string, error: unknown, lasted: number): string {
    const attempts = this.#failing.get(title)?.attempts ?? 0;
    const titles = [...this.#failing.keys()].join(', ');
    const remedy = error instanceof PenstockError && error.remedy !== undefined ? ` ${error.remedy}` : '';
    return (
      `API server ${this.#server}: ${messageOf(error)} (${titles}; ${attempts} attempts in ${duration(lasted)}). ` +
      `The rules stay as they are and it is tried on.${remedy}`
    );
  }
}

function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
