/** How many rules of ours there are and were written, table by table: kube-proxy counts the `-A` lines of its chains. */
import type { RestoreInput } from '../../../kernel/xtables/RestoreInput.js';
import type { RuleSet } from '../plan/RuleSet.js';
import { forwardRules, masqueradeRules, nodePortDispatchRules } from './fixedRules.js';
import { lines, type RuleCounts } from './RuleCounts.js';
import type { RuleSettings } from './RuleSettings.js';

/** Everything in our chains. Jumps from the kernel's own chains do not count. */
export function countAll(rules: RuleSet, settings: RuleSettings): RuleCounts {
  const { filter, nat } = rules.counts;
  const guard = settings.localhostNodePorts ? 1 : 0;
  return {
    filter: filter + lines(forwardRules(settings)) + guard,
    nat: nat + lines(masqueradeRules(settings)) + lines(nodePortDispatchRules(settings)),
  };
}

/** What the input adds to our chains. Reads all of its text. */
export function countWritten(input: RestoreInput): RuleCounts {
  const counts = { filter: 0, nat: 0 };
  let table = '';
  for (const chunk of input.chunks()) {
    for (const [, begun] of chunk.matchAll(/^(?:\*(\w+)|-[AI] KUBE-)/gm)) {
      if (begun !== undefined) table = begun;
      else if (table === 'filter' || table === 'nat') counts[table]++;
    }
  }
  return counts;
}
