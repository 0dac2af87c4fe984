/**
 * The restore input that puts everything in place: first sync, repair after a flush, and `penstock render`.
 *
 * Chains are rewritten, never emptied first: within one COMMIT the kernel swaps old and new at once, so a restart
 * moves no connection. In a large cluster the chains of service ports go first, in sections of their own
 * (docs/iptables-restore.md says why), and the shared chains that lead to them last.
 */
import { RestoreInput } from '../../../kernel/xtables/RestoreInput.js';
import * as chain from '../rules/chains.js';
import { forwardRules, LOCALNET_GUARD, masqueradeRules, nodePortDispatchRules } from '../rules/fixedRules.js';
import type { RuleSettings } from '../rules/RuleSettings.js';
import {
  addDeclarations,
  addRules,
  chainSections,
  countChains,
  declare,
  type NatSectionLimit,
  type OwnedChains,
  removeChains,
} from '../rules/sections.js';
import type { ExistingRules } from './ExistingRules.js';
import { type RuleSet, SHARED_CHAINS, splitShared } from './RuleSet.js';

/** `rules` is what shall be in force. `limit`: how many chains a section may hold. */
export function planFull(
  rules: RuleSet,
  existing: ExistingRules,
  settings: RuleSettings,
  limit: NatSectionLimit,
): RestoreInput {
  const input = new RestoreInput();
  const owned: OwnedChains[] = [];
  for (const [owner, rendered] of rules.entries()) {
    if (rendered.ownCount > 0) owned.push({ owner, count: rendered.ownCount, chains: () => rendered.own });
  }
  owned.sort((a, b) => (a.owner < b.owner ? -1 : 1));
  const fixed = declare(chain.POSTROUTING) + declare(chain.MARK_MASQ);

  const cut = countChains(owned) > limit;
  if (cut) {
    input.add(`*nat\n${fixed}${masqueradeRules(settings)}COMMIT\n`);
    input.append(chainSections(owned, limit));
  }
  addFilterSection(input, rules, existing, settings);
  input.add(`*nat\n${declare(chain.SERVICES)}${declare(chain.NODE_PORTS)}${cut ? '' : fixed}`);
  if (!cut) {
    addDeclarations(input, owned);
    input.add(masqueradeRules(settings));
    addRules(input, owned);
  }
  addShared(input, rules, 'nat');
  input.add(nodePortDispatchRules(settings));
  addJumps(input, existing, 'nat');
  // Which chains are stale is known once all others have been made, and those are made as they are written.
  const stale = () => staleChains(rules, existing);
  if (!cut) input.add(() => removeChains(stale()));
  if (existing.probed.includes('nat')) input.add(removeChains([chain.PROBE]));
  input.add('COMMIT\n');
  if (cut && existing.ownedChains.length > 0) input.add(() => removalSections(stale(), limit));
  return input;
}

function staleChains(rules: RuleSet, existing: ExistingRules): string[] {
  const active = new Set<string>();
  for (const [, { own }] of rules.entries()) for (const { name } of own) active.add(name);
  return existing.ownedChains.filter((name) => !active.has(name));
}

function removalSections(stale: readonly string[], limit: NatSectionLimit): string {
  let text = '';
  for (let i = 0; i < stale.length; i += limit) {
    text += `*nat\n${removeChains(stale.slice(i, i + limit))}COMMIT\n`;
  }
  return text;
}

function addFilterSection(
  input: RestoreInput,
  rules: RuleSet,
  existing: ExistingRules,
  settings: RuleSettings,
): void {
  input.add(`*filter\n${chain.FILTER_CHAINS.map(declare).join('')}`);
  if (!existing.hasFirewallChain) input.add(declare(chain.FIREWALL));
  if (settings.localhostNodePorts && !existing.hasLocalnetGuard)
    input.add(`-A ${chain.FIREWALL} ${LOCALNET_GUARD}\n`);
  addShared(input, rules, 'filter');
  input.add(forwardRules(settings));
  addJumps(input, existing, 'filter');
  if (existing.probed.includes('filter')) input.add(removeChains([chain.PROBE]));
  input.add('COMMIT\n');
}

function addShared(input: RestoreInput, rules: RuleSet, table: 'filter' | 'nat'): void {
  for (const shared of SHARED_CHAINS) {
    const [inTable, name] = splitShared(shared);
    if (inTable !== table) continue;
    for (const [owner, own] of rules.shared(shared).entries()) {
      let text = '';
      for (const rule of own) text += `-A ${name} ${rule}\n`;
      input.add(text, owner);
    }
  }
}

function addJumps(input: RestoreInput, existing: ExistingRules, table: 'filter' | 'nat'): void {
  for (const jump of existing.missingJumps) {
    if (jump.table === table) input.add(`-I ${jump.from} ${jump.rule}\n`);
  }
}

/** The empty chains whose absence tells of a flush. */
export function planCanaries(): RestoreInput {
  const input = new RestoreInput();
  for (const table of ['mangle', 'nat', 'filter'] satisfies chain.Table[]) {
    input.add(`*${table}\n${declare(chain.CANARY)}COMMIT\n`);
  }
  return input;
}
