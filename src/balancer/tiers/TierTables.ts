/** Both tiers in the kernel: three tables of our own, of which only what differs is written when what they hold has changed. */

import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import type { Device } from '../../kernel/nftables/forwarding.js';
import { readGeneration } from '../../kernel/nftables/readGeneration.js';
import { WholeTable } from '../../kernel/nftables/table/WholeTable.js';
import { IP_FAMILIES } from '../../net/ip.js';
import type { TierContents } from './tierContents.js';
import { arrivingTable, secondChanceTable, TIER_TABLE } from './tierRules.js';

export interface TierInput {
  readonly contents: TierContents;
  /** Interfaces at which clients' packets arrive. */
  readonly devices: readonly Device[];
  /** Hardware addresses of the other nodes. */
  readonly macs: readonly Uint8Array[];
}

export class TierTables {
  readonly #channel: NetlinkChannel;
  readonly #tables: Readonly<Record<'netdev' | 'IPv4' | 'IPv6', WholeTable>>;
  /** At which interfaces the last write hooked. */
  #devices = '';
  #isThere = false;
  /** Of the rule set, when the tables were last found as they were written. */
  #generation: number | undefined;

  /** `channel` is of openNftablesChannel() and stays the caller's to close. */
  constructor(channel: NetlinkChannel) {
    this.#channel = channel;
    this.#tables = {
      netdev: new WholeTable(channel, 'netdev', TIER_TABLE),
      IPv4: new WholeTable(channel, 'IPv4', TIER_TABLE),
      IPv6: new WholeTable(channel, 'IPv6', TIER_TABLE),
    };
  }

  /** Transactions of ours. */
  get committed(): number {
    return Object.values(this.#tables).reduce((sum, { committed }) => sum + committed, 0);
  }

  /** Rejects with PENSTOCK_NFTABLES_REFUSED or NetlinkError; what was there before is then still there. */
  async write({ contents, devices, macs }: TierInput): Promise<void> {
    this.#isThere = true;
    // The second chance first: what the new table of tier 1 sends here may belong to a connection elsewhere.
    for (const family of IP_FAMILIES) await this.#tables[family].write(secondChanceTable(contents, family));
    const names = devices.map(({ name }) => name);
    const hooked = devices.map(({ name, index }) => `${name} ${index}`).join();
    // An interface that went took its chain along, and one that has another name has the chain of the former.
    if (hooked !== this.#devices) this.#tables.netdev.forget();
    await this.#tables.netdev.write(arrivingTable(contents, names, macs));
    this.#devices = hooked;
  }

  /**
   * Leads nothing on any more. Tables that this process wrote stay, empty, as packets wait in queues while Services fall asleep; those of
   * an earlier one go.
   */
  async clear(): Promise<void> {
    for (const table of Object.values(this.#tables)) {
      if (this.#isThere) await table.empty();
      else await table.remove();
    }
  }

  /** Whether somebody changed the tables; the next write() then mends that. Rejects with NetlinkError. */
  async areAltered(): Promise<boolean> {
    const generation = await readGeneration(this.#channel);
    if (generation !== undefined && generation === this.#generation) return false;
    let altered = false;
    for (const table of Object.values(this.#tables)) altered = (await table.isAltered()) || altered;
    this.#generation = altered ? undefined : generation;
    return altered;
  }
}
