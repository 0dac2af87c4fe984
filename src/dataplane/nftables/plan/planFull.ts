/** From what the kernel has to what it must have: the whole table, read once, and only the difference is written. */

import { ipKey } from '../../../kernel/nftables/dataTypes.js';
import type { ElementListing } from '../../../kernel/nftables/listing/ElementListing.js';
import type { SetSpec } from '../../../kernel/nftables/SetSpec.js';
import { Transaction } from '../../../kernel/nftables/Transaction.js';
import {
  chainText,
  hookText,
  presentText,
  setText,
  type TableState,
} from '../../../kernel/nftables/table/TableState.js';
import { changeElements } from '../../../kernel/nftables/table/tableDifference.js';
import type { ServicePort } from '../../../routing/ServicePort.js';
import type { NftablesSettings } from '../desired/NftablesSettings.js';
import type { DrawCount } from '../desired/pickChains.js';
import { countElements, countIndexes } from '../desired/servicePortElements.js';
import { ADMIN_PREFIX, affinitySet, LEARNED_SETS, type SetName, type SizedSet } from '../desired/sets.js';
import { Collected, type KeysAndValues } from './Collected.js';
import { SIZED_SETS, sizesFor, TableContents } from './TableContents.js';

/** What the kernel has: undefined when there is no table. */
export interface Present {
  readonly state: TableState;
  /** Sizes of the sized sets, by name. */
  readonly sizes: Partial<Record<SizedSet, number>>;
  /** Rejects with NetlinkError. */
  readonly list: (set: SetSpec) => Promise<ElementListing>;
}

/** What contents follow from, in whatever form the elements are. */
export interface Gathered extends Pick<Collected, 'chains' | 'times' | 'sharedKeys'> {
  readonly draws: Iterable<DrawCount>;
  count(set: SizedSet): number;
}

export interface FullPlan {
  readonly transaction: Transaction;
  readonly contents: TableContents;
}

/** `later`: service ports that come after this transaction; there is room for them. */
export async function planFull(
  ports: Iterable<ServicePort>,
  settings: NftablesSettings,
  present: Present | undefined,
  tableName: string,
  later: readonly ServicePort[] = [],
): Promise<FullPlan> {
  const collected = new Collected();
  for (const port of ports) collected.add(port);
  const contents = contentsOf(collected, settings, present?.sizes ?? {}, later);
  const transaction = new Transaction(settings.family, tableName);
  transaction.createTable = present === undefined;
  const wantedSets = [...Object.values(contents.sets), ...contents.affinitySets.values()];
  const kept = planSets(transaction, wantedSets, present?.state);
  planChains(transaction, contents, present?.state, kept.replaced);
  for (const set of wantedSets) {
    if (LEARNED_SETS.has(set.name)) continue;
    const wanted = elementsOf(set.name, collected, contents);
    if (present && kept.sets.has(set.name)) changeElements(transaction, set, wanted, await present.list(set));
    else transaction.fillSet(set, wanted);
  }
  return { transaction, contents };
}

export function contentsOf(
  gathered: Gathered,
  settings: NftablesSettings,
  sizes: Partial<Record<SizedSet, number>>,
  later: readonly ServicePort[],
): TableContents {
  const filled = Object.fromEntries(SIZED_SETS.map((set) => [set, gathered.count(set)])) as Record<
    SizedSet,
    number
  >;
  const expected = { ...filled };
  for (const port of later) {
    const { vips, nodePorts } = countElements(port, countIndexes(port));
    expected.endpoints += vips;
    expected['node-port-endpoints'] += nodePorts;
    expected['service-ips'] += 1 + port.externalIPs.length + port.loadBalancerIPs.length;
    expected['node-ports'] += port.nodePort === 0 ? 0 : 1;
  }
  const contents = new TableContents(settings, sizesFor(expected, sizes));
  Object.assign(contents.filled, filled);
  for (const [set, keys] of gathered.sharedKeys) for (const key of keys) contents.shared[set].add(key);
  for (const { seconds, protocol } of gathered.times) contents.affinityTimes.add(`${seconds}/${protocol}`);
  for (const { seconds } of contents.times()) {
    for (const of of ['services', 'node-ports'] as const) {
      const set = affinitySet(settings.family, of, seconds);
      contents.affinitySets.set(set.name, set);
    }
  }
  contents.addChains(gathered);
  for (const chain of contents.wantedChains()) contents.chainTexts.set(chain.name, chainText(chain));
  return contents;
}

/** A set that is declared differently is replaced; the rules that refer to it must go before. */
export function planSets(
  transaction: Transaction,
  wanted: readonly SetSpec[],
  state: TableState | undefined,
): { sets: ReadonlySet<string>; replaced: boolean } {
  const sets = new Set<string>();
  let replaced = false;
  for (const set of wanted) {
    const present = state?.sets.get(set.name);
    if (present === setText(set)) {
      sets.add(set.name);
      continue;
    }
    if (present !== undefined) {
      transaction.deletedSets.push(set.name);
      replaced = true;
    }
    transaction.newSets.push(set);
  }
  for (const name of state?.sets.keys() ?? []) {
    // Anonymous sets belong to rules, maybe of the administrator's chains.
    if (name.startsWith('__') || isAdministrators(name) || wanted.some((set) => set.name === name)) continue;
    transaction.deletedSets.push(name);
  }
  return { sets, replaced };
}

export function planChains(
  transaction: Transaction,
  contents: TableContents,
  state: TableState | undefined,
  rewriteAll: boolean,
): void {
  const wanted = contents.wantedChains();
  const names = new Set(wanted.map(({ name }) => name));
  for (const chain of wanted) {
    const hook = state?.chains.get(chain.name);
    if (hook === undefined) {
      transaction.addChain(chain);
    } else if (hook !== hookText(chain)) {
      transaction.replaceChain(chain);
    } else if (!isAdministrators(chain.name)) {
      if (rewriteAll || presentText(state, chain.name) !== chainText(chain)) transaction.rewriteChain(chain);
    }
  }
  for (const name of state?.chains.keys() ?? []) {
    if (names.has(name) || isAdministrators(name)) continue;
    transaction.flushedChains.push(name);
    transaction.deletedChains.push(name);
  }
}

/** The administrator may add chains and sets of this kind to our table. */
function isAdministrators(name: string): boolean {
  return name.startsWith(ADMIN_PREFIX);
}

export function elementsOf(set: string, collected: Collected, contents: TableContents): KeysAndValues {
  const sticky = collected.stickyKeys.get(set);
  if (sticky) return { keys: sticky.keys, values: [] };
  if (set === 'node-port-ips') return { keys: contents.settings.nodePortIPs.map(ipKey), values: [] };
  if (set in contents.shared) {
    return { keys: [...contents.shared[set as keyof TableContents['shared']].keys()], values: [] };
  }
  return collected.sets.get(set as SetName) ?? { keys: [], values: [] };
}
