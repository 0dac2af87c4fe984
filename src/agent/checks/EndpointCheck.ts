/** One port of one endpoint, asked again and again whether it takes a connection. */
import type { Clock } from '../../time/Clock.js';
import type { CheckSettings } from './readHealthCheck.js';

/** Resolves to undefined when a connection was taken, else to why not. Never rejects. */
export type Connect = (address: string, port: number, timeoutMs: number) => Promise<string | undefined>;

export interface EndpointCheckOptions {
  readonly address: string;
  readonly port: number;
  readonly check: CheckSettings;
  readonly connect: Connect;
  /** What is made of it has changed. */
  readonly onChange: () => void;
  readonly clock: Clock;
  /** 0 to 1: checks of many endpoints are not to come at once. */
  readonly random: () => number;
  /** `decides`: is asked at once, and what it says holds, as nobody else knows yet. Absent: it is ready until enough have failed. */
  readonly first?: 'decides';
}

export class EndpointCheck {
  readonly #options: EndpointCheckOptions;
  /** Why it is not ready; undefined: it is, as it is until checks have failed. */
  #failure: string | undefined;
  /** In a row, of the kind that would change that. */
  #count = 0;
  #known: boolean;
  #stopped = false;
  #cancel: () => void;

  constructor(options: EndpointCheckOptions) {
    this.#options = options;
    this.#known = options.first === undefined;
    const delay = this.#known ? options.check.interval * options.random() : 0;
    this.#cancel = options.clock.after(delay, () => void this.#ask());
  }

  /** Whether it may be asked what is made of it: false until the first one that decides. */
  get known(): boolean {
    return this.#known;
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #ask(): Promise<void> {
    const { address, port, check, connect, clock, random } = this.#options;
    const begun = clock.now();
    const why = await connect(address, port, check.timeout);
    if (this.#stopped) return;
    // After the first one chance spreads those that began together.
    const wait = this.#known ? check.interval : check.interval * (0.5 + random() / 2);
    this.#cancel = clock.after(Math.max(0, begun + wait - clock.now()), () => void this.#ask());
    this.#take(why);
  }

  #take(why: string | undefined): void {
    const { check, onChange } = this.#options;
    if (!this.#known) {
      this.#known = true;
      this.#failure = why;
      onChange();
      return;
    }
    const isReady = this.#failure === undefined;
    if ((why === undefined) === isReady) {
      this.#count = 0;
      return;
    }
    this.#count++;
    if (this.#count < (isReady ? check.fall : check.rise)) return;
    this.#count = 0;
    this.#failure = why;
    onChange();
  }
}
