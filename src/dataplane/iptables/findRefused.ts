/**
 * Finds the service port whose rules the kernel refuses when the tool does not say which: iptables-legacy hands over
 * whole tables and names only the COMMIT. The rules are tried in a chain of their own that nothing leads to, half of
 * the candidates at a time, so that the search disturbs no traffic.
 */
import { RestoreError } from '../../kernel/xtables/RestoreError.js';
import { RestoreInput } from '../../kernel/xtables/RestoreInput.js';
import { type RuleSet, splitShared } from './plan/RuleSet.js';
import { PROBE } from './rules/chains.js';
import type { RenderedServicePort } from './rules/renderServicePort.js';
import { declare, removeChains } from './rules/sections.js';

/** The key of one refused service port; undefined when the rules of every single one are accepted. */
export async function findRefused(
  rules: RuleSet,
  restore: (input: RestoreInput) => Promise<void>,
): Promise<string | undefined> {
  const accepted = async (candidates: readonly string[]): Promise<boolean> => {
    try {
      await restore(probe(rules, candidates));
      return true;
    } catch (error) {
      if (error instanceof RestoreError && !error.transient) return false;
      throw error;
    }
  };
  let candidates = [...rules.entries()].map(([key]) => key);
  try {
    if (await accepted(candidates)) return undefined;
    while (candidates.length > 1) {
      const half = candidates.slice(0, candidates.length >>> 1);
      candidates = (await accepted(half)) ? candidates.slice(half.length) : half;
    }
    return candidates[0];
  } finally {
    await restore(removeProbes());
  }
}

function probe(rules: RuleSet, keys: readonly string[]): RestoreInput {
  const input = new RestoreInput();
  for (const table of ['filter', 'nat'] as const) {
    input.add(`*${table}\n${declare(PROBE)}`);
    for (const key of keys) input.add(probeRules(rules.get(key), table), key);
    input.add('COMMIT\n');
  }
  return input;
}

/** The rules without their jumps to chains of ours: the matches and the targets of the kernel remain. */
function probeRules(rendered: RenderedServicePort | undefined, table: 'filter' | 'nat'): string {
  const shared = rendered?.shared.filter((r) => splitShared(r.chain)[0] === table).map((r) => r.rule) ?? [];
  const own = table === 'nat' ? (rendered?.own ?? []).flatMap((c) => c.text.split('\n').filter(Boolean)) : [];
  return [...shared, ...own.map((line) => line.replace(/^-A \S+ /, ''))]
    .map((rule) => `-A ${PROBE} ${rule.replace(/-j KUBE-\S+$/, '')}\n`)
    .join('');
}

function removeProbes(): RestoreInput {
  const input = new RestoreInput();
  for (const table of ['filter', 'nat']) input.add(`*${table}\n${removeChains([PROBE])}COMMIT\n`);
  return input;
}
