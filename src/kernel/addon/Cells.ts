/**
 * The memory that the engine and we share (native/service/cells.h): eight 64-bit words for every service port and every
 * endpoint of it. We give out the cells, the engine's threads count in them, and nobody waits for anybody.
 */
import type { Milliseconds } from '../../time/duration.js';

/** Words of a service port's cell. */
const SERVICE = { connections: 0, active: 1, retries: 2, failed: 3, ejected: 5 } as const;
/** Words of an endpoint's cell. */
const ENDPOINT = {
  connections: 0,
  active: 1,
  refused: 2,
  timedOut: 3,
  bytesTo: 4,
  bytesFrom: 5,
  ejectedUntil: 6,
} as const;
const WORDS = 8;

/** Service ports have the first cells, so that the engine can keep them in a short table; endpoints have the rest. */
const FIRST_ENDPOINT = 1 << 18;

/** By then every thread of the engine has taken up an update, and has marked the cells of what it picked before. */
const TAKE_UP_MS: Milliseconds = 2000;

export interface ServiceCounters {
  /** UDP: flows. */
  readonly connections: number;
  readonly active: number;
  /** Attempts after the first. */
  readonly retries: number;
  /** That found no endpoint in the end. */
  readonly failed: number;
  /** Endpoints that get no new connections now. */
  readonly ejected: number;
}

export interface EndpointCounters {
  readonly connections: number;
  readonly active: number;
  readonly refused: number;
  readonly timedOut: number;
  readonly bytesTo: number;
  readonly bytesFrom: number;
  readonly isEjected: boolean;
}

/** Gives out numbers from `first` on; those that were given back once nobody uses them any more. */
class Numbers {
  #next: number;
  readonly #end: number;
  readonly #free: number[] = [];

  constructor(first: number, end: number) {
    this.#next = first;
    this.#end = end;
  }

  /** Undefined when there are no more. */
  take(): number | undefined {
    return this.#free.pop() ?? (this.#next < this.#end ? this.#next++ : undefined);
  }

  giveBack(number: number): void {
    this.#free.push(number);
  }
}

export class Cells {
  readonly #words: BigUint64Array;
  readonly #services: Numbers;
  readonly #endpoints: Numbers;
  /** Given back, but connections of theirs may still be open. */
  #retired: { readonly cell: number; readonly numbers: Numbers; readonly since: Milliseconds }[] = [];
  readonly #now: () => Milliseconds;

  /** `now` is monotonic. */
  constructor(memory: ArrayBuffer, now: () => Milliseconds) {
    this.#now = now;
    this.#words = new BigUint64Array(memory);
    this.#services = new Numbers(0, FIRST_ENDPOINT);
    this.#endpoints = new Numbers(FIRST_ENDPOINT, this.#words.length / WORDS);
  }

  /** Undefined when 262,144 service ports have one. */
  takeService(): number | undefined {
    return this.#cleared(this.#services.take());
  }

  /** Undefined when 1.8 million endpoints have one. */
  takeEndpoint(): number | undefined {
    return this.#cleared(this.#endpoints.take());
  }

  retireService(cell: number): void {
    this.#retired.push({ cell, numbers: this.#services, since: this.#now() });
  }

  /** `service` no longer has this endpoint. Undefined where service ports share endpoints, and do not count those that are away. */
  retireEndpoint(cell: number, service: number | undefined): void {
    const until = Atomics.exchange(this.#words, cell * WORDS + ENDPOINT.ejectedUntil, 0n);
    if (until !== 0n && service !== undefined)
      Atomics.sub(this.#words, service * WORDS + SERVICE.ejected, 1n);
    this.#retired.push({ cell, numbers: this.#endpoints, since: this.#now() });
  }

  /** Cells that were retired a while ago and have no connections any more can be given out again. */
  reuse(): void {
    const now = this.#now();
    this.#retired = this.#retired.filter(({ cell, numbers, since }) => {
      if (now - since < TAKE_UP_MS || this.#read(cell, ENDPOINT.active) > 0) return true;
      numbers.giveBack(cell);
      return false;
    });
  }

  service(cell: number): ServiceCounters {
    return {
      connections: this.#read(cell, SERVICE.connections),
      active: this.#read(cell, SERVICE.active),
      retries: this.#read(cell, SERVICE.retries),
      failed: this.#read(cell, SERVICE.failed),
      ejected: this.#read(cell, SERVICE.ejected),
    };
  }

  endpoint(cell: number): EndpointCounters {
    return {
      connections: this.#read(cell, ENDPOINT.connections),
      active: this.#read(cell, ENDPOINT.active),
      refused: this.#read(cell, ENDPOINT.refused),
      timedOut: this.#read(cell, ENDPOINT.timedOut),
      bytesTo: this.#read(cell, ENDPOINT.bytesTo),
      bytesFrom: this.#read(cell, ENDPOINT.bytesFrom),
      isEjected: this.#read(cell, ENDPOINT.ejectedUntil) !== 0,
    };
  }

  #cleared(cell: number | undefined): number | undefined {
    if (cell !== undefined) this.#words.fill(0n, cell * WORDS, (cell + 1) * WORDS);
    return cell;
  }

  #read(cell: number, word: number): number {
    return Number(Atomics.load(this.#words, cell * WORDS + word));
  }
}
