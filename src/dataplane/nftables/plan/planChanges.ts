/** From changes of service ports to the elements that differ: costs are those of the service ports involved. */
import { ipKey } from '../../../kernel/nftables/dataTypes.js';
import type { SetSpec } from '../../../kernel/nftables/SetSpec.js';
import { type ChainSpec, Transaction } from '../../../kernel/nftables/Transaction.js';
import { chainText } from '../../../kernel/nftables/table/TableState.js';
import type { ServicePortChange } from '../../../routing/ChangeSet.js';
import type { ServicePort } from '../../../routing/ServicePort.js';
import type { NftablesSettings } from '../desired/NftablesSettings.js';
import type { IndexTable } from '../desired/servicePortElements.js';
import { affinitySet, type SetName } from '../desired/sets.js';
import { Collected, type KeysAndValues, type SharedSet } from './Collected.js';
import { differTables, type Tables } from './differTables.js';
import { SIZED_SETS, type TableContents } from './TableContents.js';

/**
 * Updates `contents` on the way: when the transaction is not committed, they are worth nothing any more. Undefined
 * when a set has no room for what comes: everything must then be planned anew.
 */
export function planChanges(
  contents: TableContents,
  changes: readonly ServicePortChange[],
  settings: NftablesSettings,
  tableName: string,
): Transaction | undefined {
  const transaction = new Transaction(settings.family, tableName);
  const isMoved = contents.settings.stance !== settings.stance;
  const rulesDiffer = applySettings(transaction, contents, settings);
  const before = collect(changes, (change) => change.before);
  const after = collect(changes, (change) => change.after);
  planElements(transaction, contents, before, after);
  planShared(transaction, contents, before, after);
  const learningDiffers = planSticky(transaction, contents, before, after);
  const newChains = contents.addChains(after);
  const chains = rulesDiffer || learningDiffers ? contents.wantedChains() : newChains;
  planChains(transaction, contents, chains, isMoved);
  return SIZED_SETS.some((set) => contents.filled[set] > (contents.sets[set].size ?? 0))
    ? undefined
    : transaction;
}

function collect(
  changes: readonly ServicePortChange[],
  side: (change: ServicePortChange) => ServicePort | undefined,
): CollectedOfChange {
  let collected: CollectedOfChange | undefined;
  for (const change of changes) {
    const port = side(change);
    if (port === undefined) continue;
    collected ??= new CollectedOfChange();
    collected.add(port);
  }
  return collected ?? NOBODY;
}

/** Tables are compared entry by entry, without a key for each. */
class CollectedOfChange extends Collected {
  readonly tables: Tables = new Map();

  table(table: IndexTable): void {
    this.tables.set(`${table.set} ${table.first} ${table.key}`, table);
  }
}

/** Of Services that are new there was nothing, and nothing will be of those that go. */
const NOBODY = new CollectedOfChange();
const SHARED_SETS = Object.keys({ 'cluster-ips': 0, hairpins: 0 } satisfies Record<
  SharedSet,
  0
>) as SharedSet[];
const NOTHING: KeysAndValues = { keys: [], values: [] };

function planElements(
  transaction: Transaction,
  contents: TableContents,
  before: CollectedOfChange,
  after: CollectedOfChange,
): void {
  const grown = (name: SetName, by: number) => {
    if (name in contents.filled) contents.filled[name as keyof TableContents['filled']] += by;
  };
  for (const [name, wanted] of after.sets)
    grown(name, differ(transaction, contents.sets[name], before.sets.get(name) ?? NOTHING, wanted));
  for (const [name, old] of before.sets)
    if (!after.sets.has(name)) grown(name, differ(transaction, contents.sets[name], old, NOTHING));
  differTables(transaction, contents.sets, before.tables, after.tables, grown);
}

/** Returns by how many elements the set grows. */
function differ(transaction: Transaction, set: SetSpec, old: KeysAndValues, wanted: KeysAndValues): number {
  if (old.keys.length === 0) {
    transaction.fillSet(set, wanted);
    return wanted.keys.length;
  }
  if (wanted.keys.length === 0) {
    const keys = new Set(old.keys);
    for (const key of keys) transaction.deleteElement(set, key);
    return -keys.size;
  }
  const present = new Map<string, string | undefined>();
  for (const [i, key] of old.keys.entries()) present.set(key, old.values[i]);
  const growth = wanted.keys.length - present.size;
  for (const [i, key] of wanted.keys.entries()) {
    const value = wanted.values[i];
    if (present.has(key)) {
      const same = present.get(key) === value;
      present.delete(key);
      if (same) continue;
      transaction.deleteElement(set, key);
    }
    transaction.addElement(set, key, value);
  }
  for (const key of present.keys()) transaction.deleteElement(set, key);
  return growth;
}

/** First all that come, then all that go: what both have stays without a flicker. */
function planShared(
  transaction: Transaction,
  contents: TableContents,
  before: Collected,
  after: Collected,
): void {
  for (const name of SHARED_SETS) {
    const come = after.sharedKeys.get(name);
    const gone = before.sharedKeys.get(name);
    if (come === undefined && gone === undefined) continue;
    const keys = contents.shared[name];
    const set = contents.sets[name];
    const added = new Set(come?.filter((key) => keys.add(key)));
    for (const key of gone ?? []) if (keys.remove(key)) transaction.deleteElement(set, key);
    for (const key of added) transaction.addElement(set, key, undefined);
  }
}

/** Returns whether the rules that learn must change. */
function planSticky(
  transaction: Transaction,
  contents: TableContents,
  before: Collected,
  after: Collected,
): boolean {
  let differs = false;
  for (const { seconds, protocol } of after.times) {
    if (contents.affinityTimes.add(`${seconds}/${protocol}`)) differs = true;
    for (const of of ['services', 'node-ports'] as const) {
      const set = affinitySet(contents.settings.family, of, seconds);
      if (contents.affinitySets.has(set.name)) continue;
      contents.affinitySets.set(set.name, set);
      transaction.newSets.push(set);
    }
  }
  for (const { seconds, protocol } of before.times) {
    if (contents.affinityTimes.remove(`${seconds}/${protocol}`)) differs = true;
  }
  if (before.stickyKeys.size === 0 && after.stickyKeys.size === 0) return differs;
  for (const name of new Set([...before.stickyKeys.keys(), ...after.stickyKeys.keys()])) {
    const set = contents.affinitySets.get(name);
    if (!set) continue;
    const old = { keys: before.stickyKeys.get(name)?.keys ?? [], values: [] };
    differ(transaction, set, old, { keys: after.stickyKeys.get(name)?.keys ?? [], values: [] });
  }
  return differs;
}

/**
 * Chains stay when nobody uses them any more, until everything is planned anew: they will be wanted again. `isMoved`: those at
 * hooks have another priority, which a chain cannot change.
 */
function planChains(
  transaction: Transaction,
  contents: TableContents,
  chains: readonly ChainSpec[],
  isMoved: boolean,
): void {
  for (const chain of chains) {
    const text = chainText(chain);
    const present = contents.chainTexts.get(chain.name);
    contents.chainTexts.set(chain.name, text);
    if (present === undefined) transaction.addChain(chain);
    else if (isMoved && chain.hook !== undefined) transaction.replaceChain(chain);
    else if (present !== text) transaction.rewriteChain(chain);
  }
}

/** Returns whether rules depend on what differs. */
function applySettings(
  transaction: Transaction,
  contents: TableContents,
  settings: NftablesSettings,
): boolean {
  const before = contents.settings;
  if (before === settings) return false;
  contents.settings = settings;
  if (JSON.stringify(before) === JSON.stringify(settings)) return false;
  const keys = (from: NftablesSettings) => ({ keys: from.nodePortIPs.map(ipKey), values: [] });
  differ(transaction, contents.sets['node-port-ips'], keys(before), keys(settings));
  return true;
}
