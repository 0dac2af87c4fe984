import { planCleanup } from '../../dataplane/iptables/plan/planCleanup.js';
import { SECTION_LIMIT } from '../../dataplane/iptables/rules/sections.js';
import { type Removal, removeRules } from './removeRules.js';

/**
 * Removes what mode iptables made; its chains are kube-proxy's too. `plan` changes nothing. Never rejects: what failed is in the
 * result, and the rest was done.
 */
export function removeIptables(what: 'plan' | 'remove'): Promise<Removal[]> {
  return removeRules(what, (saved, tool) => planCleanup(saved, SECTION_LIMIT[tool.version.backend]));
}
