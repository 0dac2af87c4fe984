/**
 * What is in the kernel already, as far as it matters for a full sync: our jumps, chains of service ports (also those
 * of an earlier run or of kube-proxy), and the rule that we share with kubelet.
 */
import { normalizeRule, parseSave, type SavedTable } from '../../../kernel/xtables/parseSave.js';
import * as chain from '../rules/chains.js';
import { LOCALNET_GUARD_SAVED } from '../rules/fixedRules.js';

export interface ExistingRules {
  /** Jumps that must be inserted, in the order in which to insert them. */
  readonly missingJumps: readonly chain.Jump[];
  /** Chains in nat with one of our prefixes, in an order in which they can be removed. */
  readonly ownedChains: readonly string[];
  /** Tables with a chain that a search for refused rules has left. */
  readonly probed: readonly chain.Table[];
  readonly hasFirewallChain: boolean;
  readonly hasLocalnetGuard: boolean;
}

/** A kernel without any rules. */
export const NO_RULES: ExistingRules = {
  missingJumps: chain.JUMPS,
  ownedChains: [],
  probed: [],
  hasFirewallChain: false,
  hasLocalnetGuard: false,
};

/** From the output of `iptables-save -t filter` and `iptables-save -t nat`. */
export function readExistingRules(filterSave: string, natSave: string): ExistingRules {
  const tables: Record<'filter' | 'nat', SavedTable | undefined> = {
    filter: parseSave(filterSave).get('filter'),
    nat: parseSave(natSave).get('nat'),
  };
  const has = (table: 'filter' | 'nat', name: string, rule: string) =>
    tables[table]?.chains.get(name)?.some((r) => normalizeRule(r) === normalizeRule(rule)) ?? false;
  return {
    missingJumps: chain.JUMPS.filter((jump) => !has(jump.table, jump.from, jump.rule)),
    ownedChains: chain.ownedInRemovalOrder([...(tables.nat?.chains.keys() ?? [])]),
    probed: (['filter', 'nat'] as const).filter((table) => tables[table]?.chains.has(chain.PROBE)),
    hasFirewallChain: tables.filter?.chains.has(chain.FIREWALL) ?? false,
    hasLocalnetGuard: has('filter', chain.FIREWALL, LOCALNET_GUARD_SAVED),
  };
}
