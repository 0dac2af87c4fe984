/**
 * Mode nftables: constant rules in a table of our own, everything else in maps, over netlink. One FamilySync for each
 * IP family of the host. docs/nftables.md shows the table.
 */
import { hostAddresses } from '../../kernel/host/hostAddresses.js';
import type { NftablesTable } from '../../kernel/nftables/NftablesTable.js';
import type { IpAddress, IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { Dataplane, FamilyReport, SyncReport } from '../Dataplane.js';
import { FamilySync } from './FamilySync.js';
import { type HostFacts, type NftablesOptions, nftablesSettings } from './NftablesSettings.js';

/** The name of our table in each family. */
export const TABLE = 'penstock';

/** What of the host this mode needs, injected. */
export interface NftablesHost {
  readonly tables: readonly NftablesTable[];
  /** Ports of ours on loopback that pass on connections to node ports on loopback. */
  readonly localhostPorts: (family: IpFamily) => HostFacts['localhostPorts'];
  /** Releases what the above hold. */
  readonly close: () => Promise<void>;
  readonly addresses?: () => readonly IpAddress[];
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

export class NftablesDataplane implements Dataplane {
  readonly #options: NftablesOptions;
  readonly #host: NftablesHost;
  readonly #families: readonly FamilySync[];

  constructor(options: NftablesOptions, host: NftablesHost) {
    this.#options = options;
    this.#host = host;
    const now = host.now ?? (() => performance.now());
    this.#families = host.tables.map((table) => new FamilySync(table, now));
  }

  get description(): string {
    return `table ${TABLE}, over netlink, ${this.#families.map(({ family }) => family).join(' and ')}`;
  }

  async sync(table: RoutingTable, changes: ChangeSet): Promise<SyncReport> {
    // First of all, so that no failure below can lose them.
    for (const sync of this.#families) sync.take(changes.families[sync.family]);
    const addresses = this.#host.addresses?.() ?? hostAddresses();
    const reports: FamilyReport[] = [];
    const failures: unknown[] = [];
    for (const sync of this.#families) {
      const { family } = sync;
      const facts = { addresses, localhostPorts: this.#host.localhostPorts(family) };
      try {
        reports.push(
          await sync.sync(table.servicePorts(family), nftablesSettings(this.#options, family, table, facts)),
        );
      } catch (error) {
        // Trouble with one family must not keep the other from working.
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    return { families: reports, problems: [] };
  }

  async verify(): Promise<string | undefined> {
    return undefined;
  }

  async close(): Promise<void> {
    await this.#host.close();
  }
}
