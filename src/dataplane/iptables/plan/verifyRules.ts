/**
 * Looks whether rules that we wrote are still there. Two depths: the anchors, without which nothing works, at once;
 * the number of rules in every chain now and then.
 */
import { normalizeRule, parseSave } from '../../../kernel/xtables/parseSave.js';
import type { XtablesTool } from '../../../kernel/xtables/XtablesTool.js';
import * as chain from '../rules/chains.js';
import {
  forwardRules,
  LOCALNET_GUARD_SAVED,
  masqueradeRules,
  nodePortDispatchRules,
} from '../rules/fixedRules.js';
import type { RuleSettings } from '../rules/RuleSettings.js';
import { type RuleSet, SHARED_CHAINS, splitShared } from './RuleSet.js';

/** The first thing that is missing, as a sentence; undefined when all jumps and fixed rules are there. */
export async function verifyAnchors(
  tool: XtablesTool,
  rules: RuleSet,
  settings: RuleSettings,
): Promise<string | undefined> {
  for (const { table, chain: name } of baseChains()) {
    const listed = (await tool.listChain(table, name))?.map((line) =>
      normalizeRule(line.replace(/^-A \S+ /, '')),
    );
    const jumps = chain.JUMPS.filter((jump) => jump.table === table && jump.from === name);
    const missing = jumps.find((jump) => !listed?.includes(normalizeRule(jump.rule)));
    if (missing) return `the jump from ${missing.from} to ${missing.to} (table ${table}) is gone`;
  }
  for (const { table, name, count } of expectedCounts(rules, settings)) {
    const listed = await tool.listChain(table, name);
    if (!listed) return `chain ${name} (table ${table}) is gone`;
    if (listed.length !== count) return wrongCount(table, name, count, listed.length);
  }
  return undefined;
}

/** Every chain of ours, counted in the output of iptables-save. */
export async function verifyCounts(
  tool: XtablesTool,
  rules: RuleSet,
  settings: RuleSettings,
): Promise<string | undefined> {
  const saved = {
    nat: parseSave(await tool.save('nat')).get('nat'),
    filter: parseSave(await tool.save('filter')).get('filter'),
  };
  const check = (table: 'filter' | 'nat', name: string, count: number) => {
    const found = saved[table]?.chains.get(name);
    if (!found) return `chain ${name} (table ${table}) is gone`;
    return found.length === count ? undefined : wrongCount(table, name, count, found.length);
  };
  for (const { table, name, count } of expectedCounts(rules, settings)) {
    const wrong = check(table, name, count);
    if (wrong) return wrong;
  }
  // KUBE-FIREWALL is kubelet's too, so that its rules are not counted.
  const firewall = saved.filter?.chains.get(chain.FIREWALL)?.map(normalizeRule);
  if (settings.localhostNodePorts && !firewall?.includes(normalizeRule(LOCALNET_GUARD_SAVED)))
    return `the rule that keeps others out of 127.0.0.0/8 (chain ${chain.FIREWALL}, table filter) is gone`;
  for (const [key, rendered] of rules.entries()) {
    for (const own of rendered.own) {
      const wrong = check('nat', own.name, countLines(own.text));
      if (wrong) return `${wrong}; it belongs to ${key}`;
    }
  }
  return undefined;
}

function wrongCount(table: string, name: string, expected: number, found: number): string {
  return `chain ${name} (table ${table}) has ${found} rules instead of ${expected}`;
}

function baseChains(): { table: 'filter' | 'nat'; chain: string }[] {
  const seen = new Map(chain.JUMPS.map((j) => [`${j.table} ${j.from}`, { table: j.table, chain: j.from }]));
  return [...seen.values()];
}

/** Shared and fixed chains with their number of rules. */
function expectedCounts(
  rules: RuleSet,
  settings: RuleSettings,
): { table: 'filter' | 'nat'; name: string; count: number }[] {
  const fixed = masqueradeRules(settings);
  const counts = SHARED_CHAINS.map((shared) => {
    const [table, name] = splitShared(shared);
    let count = 0;
    for (const [, own] of rules.shared(shared).entries()) count += own.length;
    if (shared === 'nat KUBE-SERVICES') count += countLines(nodePortDispatchRules(settings));
    return { table, name, count };
  });
  return [
    ...counts,
    { table: 'filter', name: chain.FORWARD, count: countLines(forwardRules(settings)) },
    { table: 'nat', name: chain.MARK_MASQ, count: countLines(fixed, chain.MARK_MASQ) },
    { table: 'nat', name: chain.POSTROUTING, count: countLines(fixed, chain.POSTROUTING) },
  ];
}

/** Rules in the text, of one chain if a name is given. */
function countLines(text: string, name?: string): number {
  return text.split('\n').filter((line) => line !== '' && (!name || line.startsWith(`-A ${name} `))).length;
}
