/** The transaction under way: what it did so far can be undone, and is told once it is committed. */
import { SetFlag } from '../../../src/kernel/nftables/constants.js';
import {
  inOrder,
  livingRules,
  type ModelChain,
  type ModelElement,
  type ModelRule,
  type ModelSet,
  type ModelTable,
  type ModelVerdict,
  type SetDeclaration,
} from './Ruleset.js';

/** What NEWx and DELx messages tell of. */
export type Subject =
  | { readonly table: ModelTable }
  | { readonly chain: ModelChain }
  | { readonly rule: ModelRule }
  | { readonly set: ModelSet }
  | { readonly set: ModelSet; readonly element: ModelElement };

export interface Event {
  readonly what: 'new' | 'delete';
  readonly subject: Subject;
}

export class Changes {
  readonly #undo: (() => void)[] = [];
  readonly #onCommit: (() => void)[] = [];
  readonly events: Event[] = [];
  /** Tables that must be looked at as a whole before this becomes true. */
  readonly tablesToValidate = new Set<ModelTable>();
  /** Tables whose flags cannot be changed in this transaction any more (nft_table_pending_update). */
  readonly busyTables = new Set<ModelTable>();
  /** Tables whose flags this transaction has changed. */
  readonly flaggedTables = new Set<ModelTable>();

  abort(): void {
    for (const step of this.#undo.reverse()) step();
  }

  commit(): void {
    for (const step of this.#onCommit) step();
  }

  /** For what the kernel takes as a change although nothing is other than before. */
  note(what: Event['what'], subject: Subject): void {
    this.events.push({ what, subject });
  }

  addTable(tables: Map<string, ModelTable>, key: string, table: ModelTable): void {
    tables.set(key, table);
    this.#undo.push(() => tables.delete(key));
    this.note('new', { table });
  }

  deleteTable(tables: Map<string, ModelTable>, key: string, table: ModelTable): void {
    for (const chain of inOrder(table.chains)) for (const rule of livingRules(chain)) this.deleteRule(rule);
    for (const set of inOrder(table.sets)) this.deleteSet(set);
    for (const chain of inOrder(table.chains)) this.deleteChain(chain);
    tables.delete(key);
    this.#undo.push(() => tables.set(key, table));
    this.note('delete', { table });
  }

  setTableFlags(table: ModelTable, flags: number): void {
    const before = table.flags;
    table.flags = flags;
    this.busyTables.add(table);
    this.flaggedTables.add(table);
    this.#undo.push(() => {
      table.flags = before;
    });
    this.note('new', { table });
  }

  addChain(chain: ModelChain): void {
    const { chains } = chain.table;
    chains.set(chain.name, chain);
    this.#undo.push(() => chains.delete(chain.name));
    this.note('new', { chain });
  }

  /** Its rules are deleted before. */
  deleteChain(chain: ModelChain): void {
    const { chains } = chain.table;
    chains.delete(chain.name);
    if (chain.hook) this.busyTables.add(chain.table);
    this.#undo.push(() => chains.set(chain.name, chain));
    this.note('delete', { chain });
  }

  /** Declares a chain once more that is there. */
  repeatChain(chain: ModelChain, policy: number | undefined): void {
    this.busyTables.add(chain.table);
    this.#onCommit.push(() => {
      if (policy !== undefined) chain.policy = policy;
    });
    this.note('new', { chain });
  }

  insertRule(rule: ModelRule, index: number): void {
    const { rules } = rule.chain;
    rules.splice(index, 0, rule);
    this.#undo.push(() => rules.splice(rules.indexOf(rule), 1));
    this.#refer(rule, 1);
    this.tablesToValidate.add(rule.chain.table);
    this.note('new', { rule });
  }

  deleteRule(rule: ModelRule): void {
    rule.isDeleted = true;
    this.#undo.push(() => {
      rule.isDeleted = false;
    });
    const { rules } = rule.chain;
    this.#onCommit.push(() => rules.splice(rules.indexOf(rule), 1));
    this.#refer(rule, -1);
    this.note('delete', { rule });
  }

  #refer(rule: ModelRule, by: 1 | -1): void {
    for (const verdict of rule.jumps) this.#hold(verdict, by);
    for (const set of rule.sets) {
      set.references += by;
      this.#undo.push(() => {
        set.references -= by;
      });
    }
  }

  /** `chain` cannot go while somebody goes there. */
  #hold(verdict: ModelVerdict | string | undefined, by: 1 | -1): void {
    if (typeof verdict !== 'object' || !verdict.chain) return;
    const { chain } = verdict;
    chain.references += by;
    this.#undo.push(() => {
      chain.references -= by;
    });
  }

  addSet(set: ModelSet): void {
    const { sets } = set.table;
    sets.set(set.name, set);
    this.#undo.push(() => sets.delete(set.name));
    this.note('new', { set });
  }

  /** Declares a set once more that is there. */
  repeatSet(set: ModelSet, size: number): void {
    this.#onCommit.push(() => {
      if (size !== 0) set.size = size;
    });
    this.note('new', { set });
  }

  deleteSet(set: ModelSet): void {
    const { sets } = set.table;
    for (const { value } of set.elements.values()) this.#hold(value, -1);
    sets.delete(set.name);
    this.#undo.push(() => sets.set(set.name, set));
    this.note('delete', { set });
  }

  addElement(set: ModelSet, element: ModelElement): void {
    const id = element.key + element.keyEnd;
    const before = set.elements.get(id);
    set.elements.set(id, element);
    this.#undo.push(() => {
      if (before) set.elements.set(id, before);
      else set.elements.delete(id);
    });
    this.#hold(element.value, 1);
    if (typeof element.value === 'object' && element.value.chain) this.tablesToValidate.add(set.table);
    this.note('new', { set, element });
  }

  /** Declares an element once more that is there, with another end. */
  prolongElement(set: ModelSet, element: ModelElement, timeout: number, expires: number): void {
    const id = element.key + element.keyEnd;
    const later = { ...element, timeout, expires };
    this.#onCommit.push(() => {
      if (set.elements.get(id) === element) set.elements.set(id, later);
    });
    this.note('new', { set, element: later });
  }

  deleteElement(set: ModelSet, element: ModelElement): void {
    const id = element.key + element.keyEnd;
    set.elements.delete(id);
    this.#undo.push(() => set.elements.set(id, element));
    this.#hold(element.value, -1);
    this.note('delete', { set, element });
  }
}

/** As nft_set_is_same(): the size may be another. */
export function isSameDeclaration(a: SetDeclaration, b: SetDeclaration): boolean {
  return (
    a.flags === b.flags &&
    a.keyType === b.keyType &&
    a.keyLength === b.keyLength &&
    a.dataType === b.dataType &&
    a.dataLength === b.dataLength &&
    a.timeout === b.timeout &&
    a.counts === b.counts &&
    a.fieldLengths.join() === b.fieldLengths.join()
  );
}

/** Both ends are compared field by field (nft_set_pipapo.c). */
export function hasRanges({ flags }: SetDeclaration): boolean {
  return (flags & (SetFlag.INTERVAL | SetFlag.CONCAT)) === (SetFlag.INTERVAL | SetFlag.CONCAT);
}
