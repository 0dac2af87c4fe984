/**
 * What one transaction changes in one table, as a value: it can be printed, compared and committed. The order in which
 * it is carried out is fixed, so that whatever refers to something is gone before it, and comes after it.
 */
import type { Hook, TableFamily } from './constants.js';
import type { SetSpec } from './SetSpec.js';
import type { Rule } from './statements.js';

export interface ChainSpec {
  readonly name: string;
  /** Where packets enter; absent for chains that others jump or go to. */
  readonly hook?: {
    readonly type: 'nat' | 'filter';
    readonly hook: Hook;
    readonly priority: number;
    /** The interface, of an ingress hook. */
    readonly device?: string;
  };
  readonly rules: readonly Rule[];
}

export class Transaction {
  readonly family: TableFamily;
  readonly table: string;
  /** The table is made when it is not there. */
  createTable = false;
  /** NFT_TABLE_F_*, of a table that is made. */
  tableFlags = 0;
  /** What the table holds goes first, all in one step; for tables that are written whole. Implies createTable. */
  replaceTable = false;
  readonly flushedChains: string[] = [];
  readonly deletedElements = new Map<SetSpec, string[]>();
  readonly deletedSets: string[] = [];
  readonly deletedChains: string[] = [];
  readonly newSets: SetSpec[] = [];
  /** Chains to be made when they are not there, without their rules. */
  readonly newChains: ChainSpec[] = [];
  /** Rules that are added to the end of their chains. */
  readonly newRules: { readonly chain: string; readonly rules: readonly Rule[] }[] = [];
  readonly newElements = new Map<SetSpec, { readonly keys: string[]; readonly values: string[] }>();

  constructor(family: TableFamily, table: string) {
    this.family = family;
    this.table = table;
  }

  get isEmpty(): boolean {
    return (
      !this.createTable &&
      !this.replaceTable &&
      this.deletedElements.size === 0 &&
      this.newElements.size === 0 &&
      this.flushedChains.length === 0 &&
      this.deletedSets.length === 0 &&
      this.deletedChains.length === 0 &&
      this.newSets.length === 0 &&
      this.newChains.length === 0 &&
      this.newRules.length === 0
    );
  }

  /** A chain that is not there yet. */
  addChain(chain: ChainSpec): void {
    this.newChains.push(chain);
    if (chain.rules.length > 0) this.newRules.push({ chain: chain.name, rules: chain.rules });
  }

  /** Replaces the rules of a chain that is there. */
  rewriteChain(chain: ChainSpec): void {
    this.flushedChains.push(chain.name);
    if (chain.rules.length > 0) this.newRules.push({ chain: chain.name, rules: chain.rules });
  }

  /** Makes a chain that is there anew: its hook cannot be changed. No rule may refer to it. */
  replaceChain(chain: ChainSpec): void {
    this.flushedChains.push(chain.name);
    this.deletedChains.push(chain.name);
    this.addChain(chain);
  }

  /** Elements are deleted before any is added, so this and addElement together replace a value. */
  deleteElement(set: SetSpec, key: string): void {
    const keys = this.deletedElements.get(set);
    if (keys) keys.push(key);
    else this.deletedElements.set(set, [key]);
  }

  addElement(set: SetSpec, key: string, value: string | undefined): void {
    let elements = this.newElements.get(set);
    if (!elements) {
      elements = { keys: [], values: [] };
      this.newElements.set(set, elements);
    }
    elements.keys.push(key);
    if (value !== undefined) elements.values.push(value);
  }

  /** All elements of a set that has none yet; the arrays are the transaction's from now on. */
  fillSet(set: SetSpec, elements: { readonly keys: string[]; readonly values: string[] }): void {
    const known = this.newElements.get(set);
    if (known === undefined) {
      if (elements.keys.length > 0) this.newElements.set(set, elements);
      return;
    }
    for (const [i, key] of elements.keys.entries()) this.addElement(set, key, elements.values[i]);
  }

  /** Keys that are deleted and added again. */
  replacedKeys(set: SetSpec): string[] {
    const added = new Set(this.newElements.get(set)?.keys);
    return this.deletedElements.get(set)?.filter((key) => added.has(key)) ?? [];
  }
}
