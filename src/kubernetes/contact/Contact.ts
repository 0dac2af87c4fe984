/** How the conversation with the API server about one resource goes: for /readyz and for metrics. */
import { messageOf } from '../../errors.js';
import type { Clock } from '../../time/Clock.js';
import type { SourceContact } from '../ObjectSource.js';
import type { WatchedPath } from '../watch/resources.js';
import type { Outage } from './Outage.js';

export class Contact {
  readonly #resource: WatchedPath;
  readonly #clock: Clock;
  readonly #outage: Outage;
  #connected = false;
  /** When #connected became what it is. */
  #changed: number;
  #heard: number | undefined;
  #error: unknown;
  #readings = 0;
  #watchesEnded = 0;
  #watchesFailed = 0;

  constructor(resource: WatchedPath, clock: Clock, outage: Outage) {
    this.#resource = resource;
    this.#clock = clock;
    this.#outage = outage;
    this.#changed = clock.now();
  }

  state(): SourceContact {
    const now = this.#clock.now();
    return {
      resource: this.#resource.path.split('/').at(-1) ?? '',
      complete: this.#readings > 0,
      connected: this.#connected,
      forMs: now - this.#changed,
      silentForMs: this.#heard === undefined ? undefined : now - this.#heard,
      reason: this.#error === undefined ? undefined : messageOf(this.#error),
      relists: Math.max(0, this.#readings - 1),
      watchesEnded: this.#watchesEnded,
      watchesFailed: this.#watchesFailed,
    };
  }

  /** A part of an answer has come. */
  heard(): void {
    this.#heard = this.#clock.now();
  }

  /** The server answered as it should. */
  answered(): void {
    this.heard();
    this.#error = undefined;
    this.#become(true);
    this.#outage.answered(this.#resource.title);
  }

  failed(error: unknown): void {
    this.#error = error;
    this.#become(false);
    this.#outage.failed(this.#resource.title, error);
  }

  /** Everything there is has been read, or it is certain that there is nothing. */
  read(): void {
    this.#readings++;
    this.answered();
  }

  /** The server ended a watch, as it does every few minutes. */
  watchEnded(): void {
    this.#watchesEnded++;
  }

  /** A watch broke, fell silent or was refused. */
  watchFailed(): void {
    this.#watchesFailed++;
  }

  #become(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    this.#changed = this.#clock.now();
  }
}
