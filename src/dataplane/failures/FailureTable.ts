/** Keeps the table that tells of failing connections in agreement with the routing table, in one IP family. */

import { Transaction } from '../../kernel/nftables/Transaction.js';
import type { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import type { IpFamily } from '../../net/ip.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { KeySets } from '../family/KeySets.js';
import { failureElements } from './failureElements.js';
import { type FailureSet, type FailureSettings, failureChains, failureSets, knows } from './failureSets.js';

export class FailureTable {
  readonly #table: NftablesTable;
  #settings = '';
  #keys: KeySets | undefined;
  #isKnown = false;

  constructor(table: NftablesTable) {
    this.#table = table;
  }

  get family(): IpFamily {
    return this.#table.family;
  }

  /** Transactions of ours: each makes one generation of the rule set. */
  get committed(): number {
    return this.#table.committed;
  }

  /** The next sync writes everything. */
  requireFull(): void {
    this.#isKnown = false;
  }

  /** False: somebody has removed it. Rejects with NetlinkError. */
  async isThere(): Promise<boolean> {
    return !this.#isKnown || (await this.#table.exists());
  }

  /** Rejects with PENSTOCK_NFTABLES_REFUSED or NetlinkError; the next sync then writes everything. */
  async sync(
    ports: ReadonlyMap<string, ServicePort>,
    changes: readonly ServicePortChange[],
    settings: FailureSettings,
  ): Promise<void> {
    const text = JSON.stringify(settings);
    const isKnown = this.#isKnown && this.#settings === text;
    // Until the kernel has agreed nothing is known.
    this.#isKnown = false;
    const transaction = isKnown ? this.#change(changes) : this.#whole(ports, settings);
    if (!transaction.isEmpty) await this.#table.commit(transaction);
    this.#settings = text;
    this.#isKnown = true;
  }

  #whole(ports: ReadonlyMap<string, ServicePort>, settings: FailureSettings): Transaction {
    const known = (set: FailureSet) => knows(settings, set);
    this.#keys = new KeySets(failureSets(settings), (port) => failureElements(port, known));
    const transaction = new Transaction(this.family, this.#table.name);
    transaction.createTable = true;
    transaction.replaceTable = true;
    transaction.newSets.push(...this.#keys.sets);
    for (const chain of failureChains(settings)) transaction.addChain(chain);
    for (const port of ports.values()) this.#keys.add(port);
    for (const set of this.#keys.sets)
      for (const key of this.#keys.keys(set.name)) transaction.addElement(set, key, undefined);
    return transaction;
  }

  #change(changes: readonly ServicePortChange[]): Transaction {
    const transaction = new Transaction(this.family, this.#table.name);
    this.#keys?.change(changes, transaction);
    return transaction;
  }
}
