/** Removes what mode iptables made. Its chains are kube-proxy's too. */
import { planCleanup } from '../dataplane/iptables/plan/planCleanup.js';
import { SECTION_LIMIT } from '../dataplane/iptables/rules/sections.js';
import { type Removal, removeRules } from './removeRules.js';

/** `plan` changes nothing. Never rejects: what failed is in the result, and the rest was done. */
export function removeIptables(what: 'plan' | 'remove'): Promise<Removal[]> {
  return removeRules(what, (saved, tool) => planCleanup(saved, SECTION_LIMIT[tool.version.backend]));
}
