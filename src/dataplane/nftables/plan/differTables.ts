/** From tables of maglev to those entries that differ: of 4093 that is a tenth when one endpoint of ten goes. */
import { indexKey } from '../../../kernel/nftables/dataTypes.js';
import type { SetSpec } from '../../../kernel/nftables/SetSpec.js';
import type { Transaction } from '../../../kernel/nftables/Transaction.js';
import type { IndexTable } from '../desired/servicePortElements.js';
import type { SetName } from '../desired/sets.js';

/** By where their elements are. */
export type Tables = Map<string, IndexTable>;

/** `grown` hears of sets that have more elements then, or fewer. */
export function differTables(
  transaction: Transaction,
  sets: Readonly<Record<SetName, SetSpec>>,
  before: Tables,
  after: Tables,
  grown: (set: SetName, by: number) => void,
): void {
  if (before.size === 0 && after.size === 0) return;
  for (const id of new Set([...before.keys(), ...after.keys()])) {
    const old = before.get(id);
    const wanted = after.get(id);
    const { set, key, first } = (wanted ?? old) as IndexTable;
    const delta = (wanted?.entries.length ?? 0) - (old?.entries.length ?? 0);
    if (delta !== 0) grown(set, delta);
    differ(old, wanted, (index, isOld, value) => {
      const element = key + indexKey(first + index);
      if (isOld) transaction.deleteElement(sets[set], element);
      if (value !== undefined) transaction.addElement(sets[set], element, value);
    });
  }
}

/** `value` undefined: there is none any more. */
function differ(
  old: IndexTable | undefined,
  wanted: IndexTable | undefined,
  changed: (index: number, isOld: boolean, value: string | undefined) => void,
): void {
  const oldCount = old?.entries.length ?? 0;
  const count = wanted?.entries.length ?? 0;
  // Numbers are compared, not values: which number of before each of now had.
  const numbers = new Map(old?.values.map((value, number) => [value, number]));
  const before = wanted?.values.map((value) => numbers.get(value) ?? -1) ?? [];
  for (let i = 0; i < Math.max(oldCount, count); i++) {
    const number = wanted?.entries[i];
    const isOld = i < oldCount;
    if (number !== undefined && isOld && before[number] === old?.entries[i]) continue;
    changed(i, isOld, number === undefined ? undefined : wanted?.values[number]);
  }
}
