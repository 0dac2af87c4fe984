/**
 * Of a whole table's difference that part which may come before the rest: endpoints of VIPs and node ports that nothing leads to yet. What
 * is left of a first sync that failed half-way is written in portions so, as it would have been at first.
 */
import { Transaction } from '../../../kernel/nftables/Transaction.js';
import type { SetName } from '../desired/sets.js';

/** An index or a mark, in a key. */
const NUMBER_BYTES = 4;

/** Maps of endpoints: which map leads to their elements, and where that one's key is in theirs. */
const MAPS: Readonly<Partial<Record<string, { readonly from: SetName; readonly at: 'first' | 'last' }>>> = {
  endpoints: { from: 'service-ips', at: 'first' },
  turns: { from: 'service-ips', at: 'first' },
  chosen: { from: 'service-ips', at: 'last' },
  'node-port-endpoints': { from: 'node-ports', at: 'first' },
  'node-port-turns': { from: 'node-ports', at: 'first' },
  'node-port-chosen': { from: 'node-ports', at: 'last' },
};

/**
 * Takes transactions of `most` elements out of one that has more; to be committed before it, in their order. `filled`: elements that a
 * set has after all of them.
 */
export function takeAhead(
  whole: Transaction,
  most: number,
  filled: Readonly<Partial<Record<string, number>>>,
): readonly Transaction[] {
  const count = [...whole.newElements.values()].reduce((sum, { keys }) => sum + keys.length, 0);
  if (count <= most || whole.createTable || whole.replaceTable) return [];
  const ahead: Transaction[] = [];
  let room = 0;
  for (const [set, { keys, values }] of [...whole.newElements]) {
    const map = MAPS[set.name];
    if (map === undefined || whole.newSets.includes(set) || whole.deletedSets.includes(set.name)) continue;
    // A map that is made anew has keys of all, also of what is served.
    if (whole.newSets.some(({ name }) => name === map.from)) continue;
    // What goes, goes last: until then there must be room for both, and what is replaced goes and comes in one.
    const going = new Set(whole.deletedElements.get(set));
    if (set.size !== undefined && (filled[set.name] ?? 0) + going.size > set.size) continue;
    const unreached = newKeys(whole, map.from);
    whole.newElements.delete(set);
    for (const [i, key] of keys.entries()) {
      const leads = map.at === 'first' ? key.slice(0, -NUMBER_BYTES) : key.slice(NUMBER_BYTES);
      if (!unreached.has(leads) || going.has(key)) {
        whole.addElement(set, key, values[i]);
        continue;
      }
      if (room === 0) {
        ahead.push(new Transaction(whole.family, whole.table));
        room = most;
      }
      ahead.at(-1)?.addElement(set, key, values[i]);
      room--;
    }
  }
  return ahead;
}

/** Those that come, without those that only become others. */
function newKeys(whole: Transaction, name: SetName): ReadonlySet<string> {
  const named = ([set]: readonly [{ readonly name: string }, unknown]) => set.name === name;
  const keys = new Set([...whole.newElements].find(named)?.[1].keys);
  for (const key of [...whole.deletedElements].find(named)?.[1] ?? []) keys.delete(key);
  return keys;
}
