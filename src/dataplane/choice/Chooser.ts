/** Tells the thread that chooses which service ports and endpoints there are, and reads what it has counted. */
import { Cells } from '../../kernel/addon/Cells.js';
import type { NativeChoice, NativeChoiceStatus } from '../../kernel/addon/NativeChoice.js';
import type { IpFamily } from '../../net/ip.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import { isChosenFor } from '../../routing/choice.js';
import type { Endpoint, ServicePort } from '../../routing/ServicePort.js';
import { removeRecord, setRecord } from './encodeChoice.js';

interface Row {
  readonly port: ServicePort;
  readonly cell: number;
}

/** Of an endpoint, for whichever service ports it serves. */
interface Shared {
  readonly cell: number;
  users: number;
}

export interface ChosenEndpoint {
  readonly target: string;
  /** Connections and UDP flows now, as far as the kernel tracks them. */
  readonly active: number;
  /** How often it was chosen. */
  readonly chosen: number;
  readonly refused: number;
  readonly silent: number;
  /** It gets no connections because it did not answer. */
  readonly isAway: boolean;
}

export interface ChosenServicePort {
  readonly servicePort: ServicePort;
  /** Looked up when somebody asks: there may be a hundred thousand. */
  readonly endpoints: Iterable<ChosenEndpoint>;
}

export interface ChoiceReport {
  readonly queue: number;
  /** How many, whose numbers follow. */
  readonly queues: number;
  readonly status: NativeChoiceStatus;
  readonly servicePorts: readonly ChosenServicePort[];
}

export class Chooser {
  readonly #native: NativeChoice;
  readonly #cells: Cells;
  readonly #rows = new Map<string, Row>();
  readonly #endpoints = new Map<string, Shared>();

  /** `now`: milliseconds, monotonic. */
  constructor(native: NativeChoice, now: () => number) {
    this.#native = native;
    this.#cells = new Cells(native.cells, now);
  }

  get queue(): number {
    return this.#native.queue;
  }

  get queues(): number {
    return this.#native.queues;
  }

  apply(family: IpFamily, changes: readonly ServicePortChange[]): void {
    this.#cells.reuse();
    const records: Buffer[] = [];
    for (const { key, after } of changes) {
      const name = `${family} ${key}`;
      const before = this.#rows.get(name);
      if (after && isChosenFor(after)) {
        const cell = before?.cell ?? this.#cells.takeService();
        // What has no cell is drawn by lot.
        if (cell === undefined) continue;
        for (const endpoint of after.endpoints.reachable) this.#take(after, endpoint);
        this.#rows.set(name, { port: after, cell });
        records.push(setRecord(after, cell, (endpoint) => this.#shared(after, endpoint)?.cell ?? 0));
      } else if (before) {
        this.#rows.delete(name);
        records.push(removeRecord(before.cell));
        this.#cells.retireService(before.cell);
      }
      for (const endpoint of before?.port.endpoints.reachable ?? []) this.#release(before, endpoint);
    }
    if (records.length > 0) this.#native.update(Buffer.concat(records));
  }

  report(): ChoiceReport {
    return {
      queue: this.queue,
      queues: this.queues,
      status: this.#native.status,
      servicePorts: Array.from(this.#rows.values(), ({ port }) => ({
        servicePort: port,
        endpoints: { [Symbol.iterator]: () => this.#figures(port) },
      })),
    };
  }

  close(): void {
    this.#native.close();
  }

  *#figures(port: ServicePort): Generator<ChosenEndpoint> {
    for (const endpoint of port.endpoints.reachable) yield this.#endpoint(port, endpoint);
  }

  #endpoint(port: ServicePort, endpoint: Endpoint): ChosenEndpoint {
    const counted = this.#cells.endpoint(this.#shared(port, endpoint)?.cell ?? 0);
    return {
      target: endpoint.target,
      active: counted.active,
      chosen: counted.connections,
      refused: counted.refused,
      silent: counted.timedOut,
      isAway: counted.isEjected,
    };
  }

  #shared(port: ServicePort, endpoint: Endpoint): Shared | undefined {
    return this.#endpoints.get(nameOf(port, endpoint));
  }

  #take(port: ServicePort, endpoint: Endpoint): void {
    const name = nameOf(port, endpoint);
    const known = this.#endpoints.get(name);
    if (known) {
      known.users++;
      return;
    }
    const cell = this.#cells.takeEndpoint();
    if (cell !== undefined) this.#endpoints.set(name, { cell, users: 1 });
  }

  #release(row: Row | undefined, endpoint: Endpoint): void {
    if (!row) return;
    const name = nameOf(row.port, endpoint);
    const shared = this.#endpoints.get(name);
    if (!shared || --shared.users > 0) return;
    this.#endpoints.delete(name);
    this.#cells.retireEndpoint(shared.cell, undefined);
  }
}

function nameOf({ protocol }: ServicePort, { target }: Endpoint): string {
  return `${protocol} ${target}`;
}
