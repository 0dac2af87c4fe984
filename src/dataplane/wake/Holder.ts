/** Tells the thread that holds first packets which service ports sleep, and hears of it whom they wait for. */
import { type NativeHold, type NativeHoldStatus, TIMED_OUT, WANTED } from '../../kernel/addon/NativeHold.js';
import type { IpFamily } from '../../net/ip.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { isHeld } from '../../routing/waking.js';
import { sleepRecord, wakeRecord } from './encodeHold.js';

interface Row {
  readonly id: number;
  readonly port: ServicePort;
}

export interface WakeListener {
  /** A first packet waits for it: told at once, and every ten seconds that somebody comes while nobody serves. */
  readonly wanted: (port: ServicePort) => void;
  /** Nobody served in time: for a while its packets are refused. */
  readonly timedOut: (port: ServicePort) => void;
}

export interface WakeReport {
  readonly queue: number;
  readonly status: NativeHoldStatus;
  readonly asleep: number;
}

export class Holder {
  readonly #native: NativeHold;
  readonly #rows = new Map<string, Row>();
  readonly #ids = new Map<number, string>();
  #last = 0;

  constructor(native: NativeHold) {
    this.#native = native;
  }

  get queue(): number {
    return this.#native.queue;
  }

  /** Keys of those that sleep as far as the thread knows. */
  known(family: IpFamily): readonly string[] {
    return [...this.#rows.values()].filter(({ port }) => port.family === family).map(({ port }) => port.key);
  }

  /** Those that fall asleep: before their packets come. */
  sleep(family: IpFamily, changes: readonly ServicePortChange[]): void {
    const records: Buffer[] = [];
    for (const { key, after } of changes) {
      if (!after || !isHeld(after)) continue;
      const name = `${family} ${key}`;
      const id = this.#rows.get(name)?.id ?? this.#next();
      this.#rows.set(name, { id, port: after });
      this.#ids.set(id, name);
      records.push(sleepRecord(id, after));
    }
    this.#tell(records);
  }

  /** Those that do not sleep any more: when whoever serves is in the rules. */
  wake(family: IpFamily, changes: readonly ServicePortChange[]): void {
    const records: Buffer[] = [];
    for (const { key, after } of changes) {
      const name = `${family} ${key}`;
      const row = this.#rows.get(name);
      if (!row || (after && isHeld(after))) continue;
      this.#rows.delete(name);
      this.#ids.delete(row.id);
      records.push(wakeRecord(row.id, after?.endpoints.reachable.length ?? 0));
    }
    this.#tell(records);
  }

  /** Passes on what the thread tells. */
  hear(listener: WakeListener): void {
    const events = this.#native.takeEvents();
    for (let i = 0; i < events.length; i += 2) {
      const row = this.#rows.get(this.#ids.get(events[i] ?? 0) ?? '');
      if (row && events[i + 1] === WANTED) listener.wanted(row.port);
      else if (row && events[i + 1] === TIMED_OUT) listener.timedOut(row.port);
    }
  }

  report(): WakeReport {
    return { queue: this.queue, status: this.#native.status, asleep: this.#rows.size };
  }

  close(): void {
    this.#native.close();
  }

  #next(): number {
    this.#last = (this.#last % 0xffff_ffff) + 1;
    return this.#ids.has(this.#last) ? this.#next() : this.#last;
  }

  #tell(records: readonly Buffer[]): void {
    if (records.length > 0) this.#native.update(Buffer.concat(records));
  }
}
