/** A table of ours that is wanted as a whole, and of which only what differs is written. */
import { PenstockError } from '../../../errors.js';
import type { NetlinkChannel } from '../../netlink/NetlinkChannel.js';
import type { TableFamily } from '../constants.js';
import type { ElementListing } from '../listing/ElementListing.js';
import { Transaction } from '../Transaction.js';
import { NftablesTable } from './NftablesTable.js';
import { asPresent, type PresentTable, tableDifference } from './tableDifference.js';

export class WholeTable {
  readonly #table: NftablesTable<TableFamily>;
  /** What is in the kernel; undefined: nobody knows. */
  #written: Transaction | undefined;
  #isEmpty = false;

  /** `channel` is of openNftablesChannel() and stays the caller's to close. */
  constructor(channel: NetlinkChannel, family: TableFamily, name: string) {
    this.#table = new NftablesTable(channel, family, name);
  }

  /** Transactions of ours. */
  get committed(): number {
    return this.#table.committed;
  }

  /** The next write reads what is there. */
  forget(): void {
    this.#written = undefined;
  }

  /**
   * `wanted`: a transaction that makes the table where there is none. Rejects with PENSTOCK_NFTABLES_REFUSED or NetlinkError; what was
   * there before is then still there, unless the outcome is unknown.
   */
  async write(wanted: Transaction): Promise<void> {
    const written = this.#written;
    this.#written = undefined;
    this.#isEmpty = false;
    if (written === undefined || !(await this.#commit(tableDifference(wanted, asPresent(written)))))
      await this.#commitAny(tableDifference(wanted, await this.#read(wanted)));
    this.#written = wanted;
  }

  /** Takes everything out but the hooks: packets that wait in queues go on waiting. Rejects as write() does. */
  async empty(): Promise<void> {
    if (this.#isEmpty) return;
    if (this.#written || (await this.#table.exists()))
      await this.write(new Transaction(this.#table.family, this.#table.name));
    // Hooks that nobody wants are there all the same, so the next write looks.
    this.#written = undefined;
    this.#isEmpty = true;
  }

  /** Removes the table, with its hooks. False when there was none. Rejects with NetlinkError. */
  remove(): Promise<boolean> {
    this.#written = undefined;
    return this.#table.delete();
  }

  /** Whether somebody changed what was written; the next write then mends it. Rejects with NetlinkError. */
  async isAltered(): Promise<boolean> {
    const written = this.#written;
    if (written === undefined) return false;
    const present = await this.#read(written);
    if (present && tableDifference(written, present).isEmpty) return false;
    // Somebody wrote while this was read: that one knows better.
    if (this.#written !== written) return false;
    this.#written = undefined;
    return true;
  }

  async #commitAny(difference: Transaction): Promise<void> {
    if (!difference.isEmpty) await this.#table.commit(difference);
  }

  /** False: the kernel has something else than was written. */
  async #commit(difference: Transaction): Promise<boolean> {
    try {
      await this.#commitAny(difference);
      return true;
    } catch (error) {
      if (error instanceof PenstockError && error.code === 'PENSTOCK_NFTABLES_REFUSED') return false;
      throw error;
    }
  }

  async #read({ newSets }: Transaction): Promise<PresentTable | undefined> {
    const state = await this.#table.readState();
    if (state === undefined) return undefined;
    const elements = new Map<string, ElementListing>();
    for (const set of newSets)
      if (state.sets.has(set.name)) elements.set(set.name, await this.#table.listElements(set));
    return { state, elements };
  }
}
