/**
 * What makes a table that is there into the one that is wanted, in one transaction, without touching what is right already. Pure.
 *
 * Base chains stay, also those that nobody wants any more, which lose their rules: to remove one makes the kernel drop the packets that
 * wait in any queue (nfnetlink_queue) of the network namespace, also those of other programs.
 */

import { append } from '../../../append.js';
import type { Elements } from '../elements.js';
import { ElementIndex } from '../listing/ElementIndex.js';
import type { ComparedElements } from '../listing/ElementListing.js';
import type { SetSpec } from '../SetSpec.js';
import { Transaction } from '../Transaction.js';
import { chainText, hookText, presentText, ruleText, setText, type TableState } from './TableState.js';

/** A table as the kernel has it, or as it was written. */
export interface PresentTable {
  readonly state: TableState;
  readonly elements: ReadonlyMap<string, ComparableElements>;
}

/** Those of a set: as the kernel listed them, or as they were written. */
export interface ComparableElements {
  compare(wanted: Elements): ComparedElements;
}

const NO_ELEMENTS: Elements = { keys: [], values: [] };

/** `wanted`: a transaction that makes the whole table where there is none. */
export function tableDifference(wanted: Transaction, present: PresentTable | undefined): Transaction {
  const difference = new Transaction(wanted.family, wanted.table);
  if (present === undefined || !isAlike(wanted, present.state)) {
    difference.createTable = true;
    difference.replaceTable = present !== undefined;
    append(difference.newSets, wanted.newSets);
    append(difference.newChains, wanted.newChains);
    append(difference.newRules, wanted.newRules);
    for (const [set, elements] of wanted.newElements) difference.newElements.set(set, elements);
    return difference;
  }
  addChains(difference, wanted, present.state);
  const sets = new Set(wanted.newSets.map(({ name }) => name));
  for (const set of wanted.newSets) {
    if (!present.state.sets.has(set.name)) difference.newSets.push(set);
    addElements(difference, set, wanted.newElements.get(set) ?? NO_ELEMENTS, present);
  }
  // Anonymous sets belong to rules.
  for (const name of present.state.sets.keys())
    if (!sets.has(name) && !name.startsWith('__')) difference.deletedSets.push(name);
  return difference;
}

/** A table that was written, as if it had been read. */
export function asPresent(written: Transaction): PresentTable {
  return {
    state: {
      flags: written.tableFlags,
      chains: new Map(written.newChains.map((chain) => [chain.name, hookText(chain)])),
      rules: new Map(written.newChains.map(({ name, rules }) => [name, rules.map(ruleText)])),
      sets: new Map(written.newSets.map((set) => [set.name, setText(set)])),
    },
    elements: new Map(
      written.newSets.map((set) => {
        const { keys, values } = written.newElements.get(set) ?? NO_ELEMENTS;
        const compare = (wanted: Elements) => {
          const index = new ElementIndex(wanted);
          const unwanted = keys.filter((key, i) => !index.seeText(key, values[i] ?? ''));
          return { ...index.rest(), unwanted };
        };
        return [set.name, { compare }];
      }),
    ),
  };
}

/** Whether what has the name of something that is wanted can be kept. */
function isAlike({ tableFlags, newChains, newSets }: Transaction, state: TableState): boolean {
  return (
    state.flags === tableFlags &&
    newChains.every((chain) => [undefined, hookText(chain)].includes(state.chains.get(chain.name))) &&
    newSets.every((set) => [undefined, setText(set)].includes(state.sets.get(set.name)))
  );
}

function addChains(difference: Transaction, wanted: Transaction, state: TableState): void {
  for (const chain of wanted.newChains) {
    if (!state.chains.has(chain.name)) difference.addChain(chain);
    else if (presentText(state, chain.name) !== chainText(chain)) difference.rewriteChain(chain);
  }
  const chains = new Set(wanted.newChains.map(({ name }) => name));
  for (const [name, hook] of state.chains) {
    if (chains.has(name)) continue;
    if (hook === '') difference.deletedChains.push(name);
    if (hook === '' || presentText(state, name) !== '') difference.flushedChains.push(name);
  }
}

function addElements(
  difference: Transaction,
  set: SetSpec,
  wanted: Elements,
  { state, elements }: PresentTable,
): void {
  const listing = state.sets.has(set.name) ? elements.get(set.name) : undefined;
  if (listing) changeElements(difference, set, wanted, listing);
  else for (const [i, key] of wanted.keys.entries()) difference.addElement(set, key, wanted.values[i]);
}

/** Makes the elements that a set has into those that are wanted. */
export function changeElements(
  transaction: Transaction,
  set: SetSpec,
  wanted: Elements,
  present: ComparableElements,
): void {
  const { missing, changed, unwanted } = present.compare(wanted);
  // In the order of what is wanted: a transaction must not depend on how the kernel lists.
  const replaced = new Set(changed);
  for (const i of [...missing, ...changed].sort((a, b) => a - b)) {
    const key = wanted.keys[i] ?? '';
    if (replaced.has(i)) transaction.deleteElement(set, key);
    transaction.addElement(set, key, wanted.values[i]);
  }
  for (const key of unwanted) transaction.deleteElement(set, key);
}
