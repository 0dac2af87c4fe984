/** A transaction in nft's words, as `nft -f` takes them: an element a line. */
import type { TableFamily } from './constants.js';
import { printElement } from './elements.js';
import { printSetSpec, type SetSpec } from './SetSpec.js';
import type { Rule } from './statements.js';
import type { ChainSpec, Transaction } from './Transaction.js';

/** nft's names of the families. */
export const FAMILY_NAME: Readonly<Record<TableFamily, string>> = {
  IPv4: 'ip',
  IPv6: 'ip6',
  netdev: 'netdev',
};

export function printTransaction(transaction: Transaction): string {
  const at = `${FAMILY_NAME[transaction.family]} ${transaction.table}`;
  const lines: string[] = [];
  if (transaction.createTable) lines.push(`add table ${at}`);
  for (const chain of transaction.flushedChains) lines.push(`flush chain ${at} ${chain}`);
  for (const [set, keys] of transaction.deletedElements) {
    lines.push(`delete element ${at} ${set.name} {`);
    for (const key of keys) lines.push(`  ${printElement(set, key)},`);
    lines.push('}');
  }
  for (const set of transaction.deletedSets) lines.push(`delete set ${at} ${set}`);
  for (const chain of transaction.deletedChains) lines.push(`delete chain ${at} ${chain}`);
  for (const set of transaction.newSets)
    lines.push(`add ${kindOf(set)} ${at} ${set.name} { ${printSetSpec(set).join('; ')}; }`);
  for (const chain of transaction.newChains) lines.push(`add chain ${at} ${chain.name}${printHook(chain)}`);
  for (const { chain, rules } of transaction.newRules) {
    for (const rule of rules) lines.push(`add rule ${at} ${chain} ${printRule(rule)}`);
  }
  for (const [set, { keys, values }] of transaction.newElements) {
    lines.push(`add element ${at} ${set.name} {`);
    for (const [i, key] of keys.entries()) lines.push(`  ${printElement(set, key, values[i])},`);
    lines.push('}');
  }
  return lines.map((line) => `${line}\n`).join('');
}

export function printRule(rule: Rule): string {
  return rule.map((statement) => statement.text).join(' ');
}

function kindOf(set: SetSpec): string {
  return set.data === undefined ? 'set' : 'map';
}

function printHook({ hook }: ChainSpec): string {
  if (!hook) return '';
  const device = hook.device === undefined ? '' : ` device "${hook.device}"`;
  return ` { type ${hook.type} hook ${hook.hook}${device} priority ${hook.priority}; }`;
}
