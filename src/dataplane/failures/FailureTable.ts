/** Keeps the table that tells of failing connections in agreement with the routing table, in one IP family. */

import type { SetSpec } from '../../kernel/nftables/SetSpec.js';
import { Transaction } from '../../kernel/nftables/Transaction.js';
import type { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import type { IpFamily } from '../../net/ip.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { WantedKeys } from '../family/WantedKeys.js';
import { failureElements } from './failureElements.js';
import { type FailureSet, type FailureSettings, failureChains, failureSets, knows } from './failureSets.js';

export class FailureTable {
  readonly #table: NftablesTable;
  #settings = '';
  #sets: readonly SetSpec[] = [];
  #wanted = new Map<string, WantedKeys>();
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
    const transaction = isKnown ? this.#change(changes, settings) : this.#whole(ports, settings);
    if (!transaction.isEmpty) await this.#table.commit(transaction);
    this.#settings = text;
    this.#isKnown = true;
  }

  #whole(ports: ReadonlyMap<string, ServicePort>, settings: FailureSettings): Transaction {
    this.#sets = failureSets(settings);
    this.#wanted = new Map(this.#sets.map(({ name }) => [name, new WantedKeys()]));
    const transaction = new Transaction(this.family, this.#table.name);
    transaction.createTable = true;
    transaction.replaceTable = true;
    transaction.newSets.push(...this.#sets);
    for (const chain of failureChains(settings)) transaction.addChain(chain);
    const known = (set: FailureSet) => knows(settings, set);
    for (const port of ports.values())
      for (const [set, key] of failureElements(port, known)) this.#wanted.get(set)?.add(key);
    for (const set of this.#sets)
      for (const key of this.#wanted.get(set.name)?.keys() ?? []) transaction.addElement(set, key, undefined);
    return transaction;
  }

  #change(changes: readonly ServicePortChange[], settings: FailureSettings): Transaction {
    const transaction = new Transaction(this.family, this.#table.name);
    const known = (set: FailureSet) => knows(settings, set);
    const net = new Map<string, Map<string, number>>();
    const count = (port: ServicePort | undefined, by: number) => {
      for (const [set, key] of port ? failureElements(port, known) : []) {
        const ofSet = net.get(set) ?? new Map<string, number>();
        net.set(set, ofSet.set(key, (ofSet.get(key) ?? 0) + by));
      }
    };
    for (const { before, after } of changes) {
      count(before, -1);
      count(after, 1);
    }
    for (const set of this.#sets) {
      const wanted = this.#wanted.get(set.name);
      for (const [key, by] of net.get(set.name) ?? []) {
        for (let i = by; i > 0; i--) if (wanted?.add(key)) transaction.addElement(set, key, undefined);
        for (let i = by; i < 0; i++) if (wanted?.remove(key)) transaction.deleteElement(set, key);
      }
    }
    return transaction;
  }
}
