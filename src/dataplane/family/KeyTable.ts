/**
 * Keeps a table beside the rules of a mode, whose chains look up keys of service ports in sets, in agreement with the routing table, in one
 * IP family.
 */
import type { SetSpec } from '../../kernel/nftables/SetSpec.js';
import { type ChainSpec, Transaction } from '../../kernel/nftables/Transaction.js';
import type { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { existsHere } from '../../kernel/nftables/table/removeTables.js';
import { hookText, ruleText, setText, type TableState } from '../../kernel/nftables/table/TableState.js';
import type { IpFamily } from '../../net/ip.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { KeySets } from './KeySets.js';

/** What is in such a table. `Settings`: what it depends on beside service ports; another table follows from others. */
export interface KeyTableContent<Settings> {
  readonly name: string;
  readonly sets: (settings: Settings) => readonly SetSpec[];
  readonly chains: (settings: Settings) => readonly ChainSpec[];
  readonly elements: (port: ServicePort, settings: Settings) => Iterable<readonly [set: string, key: string]>;
}

export class KeyTable<Settings> {
  readonly #table: NftablesTable;
  readonly #content: KeyTableContent<Settings>;
  #keys: KeySets | undefined;
  #settings = '';

  constructor(table: NftablesTable, content: KeyTableContent<Settings>) {
    this.#table = table;
    this.#content = content;
  }

  get family(): IpFamily {
    return this.#table.family;
  }

  /** Transactions of ours: each makes one generation of the rule set. */
  get committed(): number {
    return this.#table.committed;
  }

  /** What the table in the kernel follows from, as far as known. */
  get settings(): Settings | undefined {
    return this.#keys && (JSON.parse(this.#settings) as Settings);
  }

  /** What a sync would write that compares everything. Writes nothing. Rejects with NetlinkError. */
  async plan(ports: ReadonlyMap<string, ServicePort>, settings: Settings): Promise<Transaction> {
    const { sets, elements } = this.#content;
    const transaction = new Transaction(this.family, this.#table.name);
    const keys = new KeySets(sets(settings), (port) => elements(port, settings));
    await this.#compare(transaction, keys, ports, settings);
    return transaction;
  }

  /** The next sync compares everything. */
  requireFull(): void {
    this.#keys = undefined;
  }

  /** False: somebody has removed it. Rejects with NetlinkError. */
  async isThere(): Promise<boolean> {
    return this.#keys === undefined || (await this.#table.exists());
  }

  /** Rejects with PENSTOCK_NFTABLES_REFUSED or NetlinkError; the next sync then compares everything. */
  async sync(
    ports: ReadonlyMap<string, ServicePort>,
    changes: readonly ServicePortChange[],
    settings: Settings,
  ): Promise<void> {
    const text = JSON.stringify(settings);
    const known = this.#settings === text ? this.#keys : undefined;
    // Until the kernel has agreed nothing is known.
    this.#keys = undefined;
    const { sets, elements } = this.#content;
    const keys = known ?? new KeySets(sets(settings), (port) => elements(port, settings));
    const transaction = new Transaction(this.family, this.#table.name);
    if (known) known.change(changes, transaction);
    else await this.#compare(transaction, keys, ports, settings);
    if (!transaction.isEmpty) await this.#table.commit(transaction);
    this.#settings = text;
    this.#keys = keys;
  }

  /**
   * Adds already what the next sync will add for these changes. Where nothing is known of the table it does nothing. Rejects with
   * PENSTOCK_NFTABLES_REFUSED or NetlinkError.
   */
  async addAhead(changes: readonly ServicePortChange[]): Promise<void> {
    const { settings } = this;
    if (this.#keys === undefined || settings === undefined) return;
    const sets = new Map(this.#keys.sets.map((set) => [set.name, set]));
    const transaction = new Transaction(this.family, this.#table.name);
    for (const { after } of changes) {
      for (const [name, key] of after ? this.#content.elements(after, settings) : []) {
        const set = sets.get(name);
        if (set) transaction.addElement(set, key, undefined);
      }
    }
    if (!transaction.isEmpty) await this.#table.commit(transaction);
  }

  /** Rejects with NetlinkError. */
  async remove(): Promise<void> {
    this.#keys = undefined;
    if (await existsHere(this.#table)) await this.#table.delete();
  }

  /**
   * Base chains that are there stay: to remove one makes the kernel drop the packets that wait in any queue of the network
   * namespace, also those of other programs.
   */
  async #compare(
    transaction: Transaction,
    keys: KeySets,
    ports: ReadonlyMap<string, ServicePort>,
    settings: Settings,
  ): Promise<void> {
    for (const port of ports.values()) keys.add(port);
    const chains = this.#content.chains(settings);
    const state = await this.#table.readState();
    if (state === undefined || !isOurs(state, keys, chains)) {
      transaction.createTable = true;
      transaction.replaceTable = state !== undefined;
      for (const set of keys.sets) transaction.newSets.push(set);
      for (const chain of chains) transaction.addChain(chain);
      for (const set of keys.sets)
        for (const key of keys.keys(set.name)) transaction.addElement(set, key, undefined);
      return;
    }
    for (const chain of chains) {
      const present = state.rules.get(chain.name) ?? [];
      if (present.join('\n\n') !== chain.rules.map(ruleText).join('\n\n')) transaction.rewriteChain(chain);
    }
    // What rules add is not of service ports.
    for (const set of keys.sets.filter(({ kind }) => kind !== 'dynamic')) {
      const present = new Set<string>();
      await this.#table.readElements(set, ({ key }) => present.add(key));
      for (const key of keys.keys(set.name)) {
        if (!present.delete(key)) transaction.addElement(set, key, undefined);
      }
      for (const key of present) transaction.deleteElement(set, key);
    }
  }
}

/** Whether chains and sets are there as we would make them, whatever is in them. */
function isOurs(state: TableState, keys: KeySets, chains: readonly ChainSpec[]): boolean {
  return (
    state.flags === 0 &&
    state.chains.size === chains.length &&
    state.sets.size === keys.sets.length &&
    chains.every((chain) => state.chains.get(chain.name) === hookText(chain)) &&
    keys.sets.every((set) => state.sets.get(set.name) === setText(set))
  );
}
