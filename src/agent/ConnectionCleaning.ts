/** After each sync: connections that contradict the routing table are taken out of the kernel's connection table. */

import type { Logger } from 'pino';
import { ConntrackCleaner, type ConntrackTable } from '../dataplane/conntrack/ConntrackCleaner.js';
import type { FamilyRuleFacts } from '../dataplane/Dataplane.js';
import { messageOf, PenstockError } from '../errors.js';
import { IP_FAMILIES, type IpAddress, type IpFamily, joinHostPort, LOOPBACK } from '../net/ip.js';
import {
  includesIpv4Loopback,
  type NodePortAddresses,
  servedNodePortAddresses,
} from '../net/nodePortAddresses.js';
import type { ChangeSet } from '../routing/ChangeSet.js';
import type { RoutingTable } from '../routing/RoutingTable.js';
import type { Clock } from '../time/Clock.js';

export interface ConnectionCleaningOptions {
  readonly nodePortAddresses: NodePortAddresses;
  /** Families whose node ports rules of the kernel alone serve on loopback too. */
  readonly localhostNodePorts: readonly IpFamily[];
  /** Ports of ours on loopback that connections to node ports on loopback are redirected to. */
  readonly localhostPorts: (family: IpFamily) => FamilyRuleFacts['localhostPorts'];
  readonly hostAddresses: () => readonly IpAddress[];
  /** Hears of every look at the connection table. */
  readonly onLooked: (family: IpFamily, deleted: number, milliseconds: number) => void;
  readonly clock: Clock;
  /** The connection table of this kernel. */
  readonly open: () => { readonly table: ConntrackTable; readonly close: () => void };
  readonly log: Logger;
}

/** What a look at the connections goes by, and what that was made of. */
interface Places {
  readonly host: readonly IpAddress[];
  readonly node: RoutingTable['node'];
  /** Ports of ours on loopback, by family. */
  readonly ports: readonly (readonly number[])[];
  readonly addresses: readonly IpAddress[];
  readonly localhostTargets: readonly string[];
}

export class ConnectionCleaning {
  readonly #options: ConnectionCleaningOptions;
  readonly #close: () => void;
  readonly #cleaner: ConntrackCleaner;
  #stopped = false;
  #places: Places | undefined;

  constructor(options: ConnectionCleaningOptions) {
    this.#options = options;
    const { table, close } = options.open();
    this.#close = close;
    this.#cleaner = new ConntrackCleaner({
      conntrack: table,
      onPostponed: (cleaning) => void this.#report(cleaning),
      onLooked: options.onLooked,
      clock: options.clock,
    });
  }

  /** Before a sync, with everything that it is to write. */
  take(changes: ChangeSet): void {
    for (const family of IP_FAMILIES) this.#cleaner.take(family, changes.families[family]);
  }

  /** After a sync that succeeded. Never rejects: what could not be cleaned is tried again. */
  async clean(table: RoutingTable): Promise<void> {
    if (this.#stopped) return;
    const { addresses, localhostTargets } = this.#placesOf(table);
    await this.#report(this.#cleaner.clean(addresses, localhostTargets));
  }

  async stop(): Promise<void> {
    await this.#cleaner.stop();
    this.#close();
  }

  /** Made anew only when something that they are made of is another: nearly no sync has others. */
  #placesOf({ node }: RoutingTable): Places {
    const host = this.#options.hostAddresses();
    const ports = IP_FAMILIES.map((family) => this.#localhostPorts(family));
    const known = this.#places;
    if (known?.host === host && known.node === node && String(known.ports) === String(ports)) return known;
    const localhostTargets = IP_FAMILIES.flatMap((family, i) =>
      (ports[i] ?? []).map((port) => joinHostPort(LOOPBACK[family], port)),
    );
    this.#places = { host, node, ports, addresses: this.#addresses(host, node, ports), localhostTargets };
    return this.#places;
  }

  #localhostPorts(family: IpFamily): readonly number[] {
    const { tcp, udp } = this.#options.localhostPorts(family);
    return [tcp, udp].filter((port) => port !== undefined);
  }

  #addresses(host: Places['host'], node: Places['node'], ports: Places['ports']): readonly IpAddress[] {
    const { nodePortAddresses, localhostNodePorts } = this.#options;
    return IP_FAMILIES.flatMap((family, i) => {
      const address = node.addresses[family];
      const served = servedNodePortAddresses(nodePortAddresses, family, host, address);
      const byRules =
        localhostNodePorts.includes(family) &&
        (family === 'IPv6' || includesIpv4Loopback(nodePortAddresses, address));
      const loopback = byRules || ports[i]?.length !== 0;
      return loopback ? [...served, LOOPBACK[family]] : served;
    });
  }

  async #report(cleaning: Promise<{ readonly deleted: number }>): Promise<void> {
    const { log } = this.#options;
    try {
      const { deleted } = await cleaning;
      if (deleted > 0) log.info(`deleted ${deleted} connections to endpoints that are no longer there`);
    } catch (error) {
      if (this.#stopped) return;
      if (error instanceof PenstockError && error.code === 'PENSTOCK_CONNTRACK_UNSUPPORTED') {
        this.#stopped = true;
        void this.#cleaner.stop();
      }
      log.warn({ err: error }, `stale connections may be left: ${messageOf(error)}`);
    }
  }
}
