/**
 * Connections that failed, by name: who wanted to reach what, and why that was refused or dropped. The same again within ten
 * seconds is one record with a count. The last ten thousand records are kept.
 */
import { type IpAddress, joinHostPort } from '../../net/ip.js';
import type { Clock } from '../../time/Clock.js';

export interface FailedPacket {
  readonly reason: string;
  readonly protocol: string;
  readonly source: string;
  readonly destination: string;
  readonly destinationPort: number;
  /** Whom it was sent to, where it was sent to anybody. */
  readonly endpoint?: { readonly address: IpAddress; readonly port: number };
}

/** What names there are for the addresses of a packet; '' where there is none. */
export interface FlowNames {
  /** `namespace/service:port name` */
  readonly service: string;
  /** `namespace/pod` */
  readonly client: string;
  /** Likewise. */
  readonly endpoint: string;
}

export interface FlowRecord {
  /** Counts up; a gap shows that records were missed. */
  readonly number: number;
  /** ISO 8601, of the first packet. */
  readonly time: string;
  readonly node: string;
  readonly reason: string;
  readonly client: string;
  readonly clientPod: string;
  /** `namespace/service:port name`, '' when the address is no Service's. */
  readonly service: string;
  readonly destination: string;
  readonly port: number;
  readonly protocol: string;
  /** `address:port` of the endpoint that did not take it; '' where it came to none. */
  readonly endpoint: string;
  /** `namespace/pod` */
  readonly endpointPod: string;
  /** Packets like this so far, as far as they were told of: at most 50 a second of a kind are. */
  readonly count: number;
}

const KEPT = 10_000;
const WINDOW_MS = 10_000;
/** Kinds of failure that are gathered at once: beyond that each packet is a record of its own. */
const MOST_OPEN = 4096;

type Listener = (record: FlowRecord) => void;

export interface FlowLogOptions {
  readonly node: string;
  readonly names: (packet: FailedPacket) => FlowNames;
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly date: () => number;
  /** Hears of each record when it begins. */
  readonly begun?: (record: FlowRecord) => void;
}

/** What more of the same counts for. */
interface Open {
  /** Its count may be behind. */
  record: FlowRecord;
  count: number;
  readonly until: number;
}

export class FlowLog {
  readonly #options: FlowLogOptions;
  /** The oldest first; more than KEPT for a moment. */
  #records: FlowRecord[] = [];
  /** By client, destination and reason: where the record is, and until when more of the same counts for it. */
  readonly #open = new Map<string, Open>();
  readonly #listeners = new Set<Listener>();
  #next = 1;
  /** Ends the wait for the next record to settle; there is one while somebody follows. */
  #cancel: (() => void) | undefined;

  constructor(options: FlowLogOptions) {
    this.#options = options;
  }

  /** The oldest first. */
  get records(): readonly FlowRecord[] {
    for (const open of this.#open.values()) this.#bringUp(open);
    return this.#records.slice(-KEPT);
  }

  /** Hears of each record when it begins, and again with its count when its ten seconds are over. Returns how to stop. */
  follow(listener: Listener): () => void {
    this.#listeners.add(listener);
    this.#awaitNext();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#cancel?.();
      this.#cancel = undefined;
    };
  }

  /** The record that it begins, or that it counts for: of that one the count may be behind. */
  add(packet: FailedPacket): FlowRecord {
    const now = this.#options.clock.now();
    this.#settle(now);
    const { reason, protocol, source, destination, destinationPort } = packet;
    const endpoint = packet.endpoint ? joinHostPort(packet.endpoint.address, packet.endpoint.port) : '';
    const key = `${reason} ${protocol} ${source} ${destination} ${destinationPort} ${endpoint}`;
    const open = this.#open.get(key);
    if (open) {
      open.count++;
      return open.record;
    }
    const { service, client, endpoint: endpointPod } = this.#options.names(packet);
    const record: FlowRecord = {
      number: this.#next++,
      time: new Date(this.#options.date()).toISOString(),
      node: this.#options.node,
      reason,
      client: source,
      clientPod: client,
      service,
      destination,
      port: destinationPort,
      protocol,
      endpoint,
      endpointPod,
      count: 1,
    };
    this.#records.push(record);
    if (this.#records.length > KEPT * 1.5) this.#records = this.#records.slice(-KEPT);
    if (this.#open.size < MOST_OPEN) this.#open.set(key, { record, count: 1, until: now + WINDOW_MS });
    this.#options.begun?.(record);
    for (const listener of this.#listeners) listener(record);
    this.#awaitNext();
    return record;
  }

  /** Gives a record its count: not with each packet, as in a flood that is most of the work. Who has a record keeps it as it was. */
  #bringUp(open: Open): FlowRecord {
    if (open.record.count === open.count) return open.record;
    const record = { ...open.record, count: open.count };
    const at = record.number - (this.#records[0]?.number ?? 0);
    if (this.#records[at]?.number === record.number) this.#records[at] = record;
    open.record = record;
    return record;
  }

  /** The count of a record is told when its time is over, also when nothing fails any more. */
  #awaitNext(): void {
    const [first] = this.#open.values();
    if (this.#cancel !== undefined || this.#listeners.size === 0 || first === undefined) return;
    const { clock } = this.#options;
    this.#cancel = clock.after(Math.max(0, first.until - clock.now()) + 1, () => {
      this.#cancel = undefined;
      this.#settle(clock.now());
      this.#awaitNext();
    });
  }

  /** Ends those whose time is over, the oldest first: all last equally long. */
  #settle(now: number): void {
    for (const [key, open] of this.#open) {
      if (open.until > now) return;
      this.#open.delete(key);
      const record = this.#bringUp(open);
      if (record.count > 1) for (const listener of this.#listeners) listener(record);
    }
  }
}
