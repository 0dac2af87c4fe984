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

export class ConnectionCleaning {
  readonly #options: ConnectionCleaningOptions;
  readonly #close: () => void;
  readonly #cleaner: ConntrackCleaner;
  #stopped = false;

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
    if (!this.#stopped)
      await this.#report(this.#cleaner.clean(this.#addresses(table), this.#localhostTargets()));
  }

  async stop(): Promise<void> {
    await this.#cleaner.stop();
    this.#close();
  }

  #localhostTargets(): string[] {
    return IP_FAMILIES.flatMap((family) =>
      this.#localhostPorts(family).map((port) => joinHostPort(LOOPBACK[family], port)),
    );
  }

  #localhostPorts(family: IpFamily): readonly number[] {
    const { tcp, udp } = this.#options.localhostPorts(family);
    return [tcp, udp].filter((port) => port !== undefined);
  }

  #addresses(table: RoutingTable): IpAddress[] {
    const { nodePortAddresses, localhostNodePorts, hostAddresses } = this.#options;
    const host = hostAddresses();
    return IP_FAMILIES.flatMap((family) => {
      const address = table.node.addresses[family];
      const served = servedNodePortAddresses(nodePortAddresses, family, host, address);
      const byRules =
        localhostNodePorts.includes(family) &&
        (family === 'IPv6' || includesIpv4Loopback(nodePortAddresses, address));
      const loopback = byRules || this.#localhostPorts(family).length > 0;
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
