/** Both tiers in the kernel: three tables of our own, replaced whole and at once whenever what they hold has changed. */

import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { printTransaction } from '../../kernel/nftables/printTransaction.js';
import type { Transaction } from '../../kernel/nftables/Transaction.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { IP_FAMILIES } from '../../net/ip.js';
import type { TierContents } from './tierContents.js';
import { arrivingTable, secondChanceTable, TIER_TABLE } from './tierRules.js';

export interface TierInput {
  readonly contents: TierContents;
  /** Names of the interfaces at which clients' packets arrive. */
  readonly devices: readonly string[];
  /** Hardware addresses of the other nodes. */
  readonly macs: readonly Uint8Array[];
}

export class TierTables {
  readonly #tables;
  /** What is in the kernel, as text; undefined: nobody knows. */
  readonly #written = new Map<'netdev' | 'IPv4' | 'IPv6', string>();

  /** `channel` is of openNftablesChannel() and stays the caller's to close. */
  constructor(channel: NetlinkChannel) {
    this.#tables = {
      netdev: new NftablesTable(channel, 'netdev', TIER_TABLE),
      IPv4: new NftablesTable(channel, 'IPv4', TIER_TABLE),
      IPv6: new NftablesTable(channel, 'IPv6', TIER_TABLE),
    } as const;
  }

  /** Rejects with PENSTOCK_NFTABLES_REFUSED or NetlinkError; what was there before is then still there. */
  async write({ contents, devices, macs }: TierInput): Promise<void> {
    // The second chance first: what the new table of tier 1 sends here may belong to a connection elsewhere.
    for (const family of IP_FAMILIES) await this.#replace(family, secondChanceTable(contents, family));
    await this.#replace('netdev', arrivingTable(contents, devices, macs));
  }

  /** Takes the tables away. */
  async remove(): Promise<void> {
    this.#written.clear();
    for (const table of Object.values(this.#tables)) await table.delete();
  }

  /** Looks whether the tables are as they were written; what somebody took away is written anew by the next write(). */
  async missing(): Promise<boolean> {
    let missing = false;
    for (const which of [...this.#written.keys()]) {
      if (await this.#tables[which].exists()) continue;
      this.#written.delete(which);
      missing = true;
    }
    return missing;
  }

  async #replace(which: 'netdev' | 'IPv4' | 'IPv6', wanted: Transaction): Promise<void> {
    const text = printTransaction(wanted);
    if (this.#written.get(which) === text) return;
    this.#written.delete(which);
    const table = this.#tables[which];
    await table.commit(wanted);
    this.#written.set(which, text);
  }
}
