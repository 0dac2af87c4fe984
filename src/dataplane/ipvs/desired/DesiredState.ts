/**
 * What the kernel shall hold for all service ports of one family: who wants each virtual server, and how many want each
 * element and address. Changes are taken one service port at a time, and what they touched is noted.
 */

import type { IpAddress } from '../../../net/ip.js';
import type { ServicePort } from '../../../routing/ServicePort.js';
import { WantedKeys } from '../../family/WantedKeys.js';
import { markOf } from './clusterClientMark.js';
import type { IpvsSettings } from './IpvsSettings.js';
import { MarkNumbers } from './MarkNumbers.js';
import { entryKey, type SetEntry } from './SetEntry.js';
import { needsMark, type ServicePortState, servicePortState, type WantedServer } from './servicePortState.js';
import { withoutServers } from './withoutServers.js';

/** What there was before changes, as far as they touched it. Undefined: it was not there. */
export interface Touched {
  /** By key of the virtual server. */
  readonly servers: Map<string, WantedServer | undefined>;
  readonly entries: Map<string, { readonly entry: SetEntry; readonly before: boolean }>;
  readonly addresses: Map<IpAddress, boolean>;
}

export function nothingTouched(): Touched {
  return { servers: new Map(), entries: new Map(), addresses: new Map() };
}

/** What of the wishes cannot be. */
export interface KernelLimits {
  /** Schedulers that the kernel does not have; the default one takes their place. */
  readonly missingSchedulers: ReadonlySet<string>;
  /** Virtual servers that somebody else made, by key: they stay as they are. */
  readonly foreign: ReadonlySet<string>;
}

/** What a service port would have where somebody else's virtual server stands. */
export interface Blocked {
  readonly port: ServicePort;
  readonly wanted: WantedServer;
}

const NO_LIMITS: KernelLimits = { missingSchedulers: new Set(), foreign: new Set() };

export class DesiredState {
  readonly settings: IpvsSettings;
  readonly marks: MarkNumbers;
  readonly #limits: KernelLimits;
  /** Somebody else's virtual servers that a service port wants, by key. */
  readonly blocked = new Map<string, Blocked>();
  /** Who wants it, the one who gets it first: by virtual server, a VIP before a node port. */
  readonly #servers = new Map<string, readonly WantedServer[]>();
  /** By entryKey(), of those that are wanted. */
  readonly #entries = new Map<string, SetEntry>();
  readonly #wantedEntries = new WantedKeys();
  readonly #addresses = new WantedKeys<IpAddress>();

  constructor(settings: IpvsSettings, limits: KernelLimits = NO_LIMITS, marks = new MarkNumbers()) {
    this.settings = settings;
    this.marks = marks;
    this.#limits = limits;
  }

  /** Who owns the virtual server now. */
  server(key: string): WantedServer | undefined {
    return this.#servers.get(key)?.[0];
  }

  *servers(): Iterable<WantedServer> {
    for (const [first] of this.#servers.values()) if (first) yield first;
  }

  get serverCount(): number {
    return this.#servers.size;
  }

  entries(): Iterable<SetEntry> {
    return this.#entries.values();
  }

  hasEntry(key: string): boolean {
    return this.#entries.has(key);
  }

  addresses(): Iterable<IpAddress> {
    return this.#addresses.keys();
  }

  hasAddress(address: IpAddress): boolean {
    return this.#addresses.has(address);
  }

  /** Replaces what a service port wants. Undefined: there was, or shall be, nothing. */
  replace(before: ServicePort | undefined, after: ServicePort | undefined, touched: Touched): void {
    const old = before && this.#stateOf(before, this.marks.get(before.key));
    if (before && !(after && needsMark(after))) this.marks.release(before.key);
    const now = after && this.#stateOf(after, needsMark(after) ? this.marks.take(after.key) : undefined);
    // Added first: what both have is then never gone in between.
    if (now) this.#add(now, touched);
    if (old) this.#remove(old, touched);
  }

  /** What the kernel holds for a service port that is in here. */
  stateOf(port: ServicePort): ServicePortState {
    return this.#stateOf(port, this.marks.get(port.key));
  }

  #stateOf(port: ServicePort, number: number | undefined): ServicePortState {
    const mark = number === undefined ? undefined : markOf(number, this.settings.masqueradeMark);
    const state = servicePortState(port, this.settings, mark, this.#limits.missingSchedulers);
    const { foreign } = this.#limits;
    if (foreign.size === 0 || !state.servers.some(({ key }) => foreign.has(key))) return state;
    for (const wanted of state.servers)
      if (foreign.has(wanted.key)) this.blocked.set(wanted.key, { port, wanted });
    return withoutServers(state, port, foreign);
  }

  #add({ servers, entries, addresses }: ServicePortState, touched: Touched): void {
    for (const server of servers) {
      const { key } = server;
      const wanted = this.#servers.get(key) ?? [];
      if (!touched.servers.has(key)) touched.servers.set(key, wanted[0]);
      this.#servers.set(key, server.rank === 'vip' ? [server, ...wanted] : [...wanted, server]);
    }
    for (const entry of entries) {
      const key = entryKey(entry);
      this.#touchEntry(key, entry, touched);
      if (this.#wantedEntries.add(key)) this.#entries.set(key, entry);
    }
    for (const address of addresses) {
      this.#touchAddress(address, touched);
      this.#addresses.add(address);
    }
  }

  #remove({ servers, entries, addresses }: ServicePortState, touched: Touched): void {
    for (const { key, owner, rank } of servers) this.#removeServer(key, owner, rank, touched);
    for (const entry of entries) {
      const key = entryKey(entry);
      this.#touchEntry(key, entry, touched);
      if (this.#wantedEntries.remove(key)) this.#entries.delete(key);
    }
    for (const address of addresses) {
      this.#touchAddress(address, touched);
      this.#addresses.remove(address);
    }
  }

  #touchEntry(key: string, entry: SetEntry, { entries }: Touched): void {
    if (!entries.has(key)) entries.set(key, { entry, before: this.hasEntry(key) });
  }

  #touchAddress(address: IpAddress, { addresses }: Touched): void {
    if (!addresses.has(address)) addresses.set(address, this.hasAddress(address));
  }

  /** The oldest claim of that owner: a newer one may have been added by the same change. */
  #removeServer(key: string, owner: string, rank: WantedServer['rank'], touched: Touched): void {
    const wanted = this.#servers.get(key) ?? [];
    if (!touched.servers.has(key)) touched.servers.set(key, wanted[0]);
    const oldest = (claim: WantedServer) => claim.owner === owner && claim.rank === rank;
    const at = rank === 'vip' ? wanted.findLastIndex(oldest) : wanted.findIndex(oldest);
    const rest = wanted.filter((_, index) => index !== at);
    if (rest.length > 0) this.#servers.set(key, rest);
    else this.#servers.delete(key);
  }
}
