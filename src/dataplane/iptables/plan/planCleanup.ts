/**
 * The restore input that removes every rule and chain of mode iptables and nothing else. Also removes kube-proxy's:
 * they are the same. Where mode ipvs is, what it has by the same names stays.
 */
import {
  deleteRules,
  normalizeRule,
  parseSave,
  type SavedTable,
  targetOf,
} from '../../../kernel/xtables/parseSave.js';
import { RestoreInput } from '../../../kernel/xtables/RestoreInput.js';
import * as chain from '../rules/chains.js';
import { LOCALNET_GUARD_SAVED } from '../rules/fixedRules.js';
import { type NatSectionLimit, removeChains } from '../rules/sections.js';

export interface SavedTables {
  /** Output of `iptables-save -t …` */
  readonly mangle: string;
  readonly filter: string;
  readonly nat: string;
}

/** What mode ipvs has by the same names, and a chain of each table that tells of it. */
const WITH_IPVS = {
  nat: { sign: 'KUBE-LOAD-BALANCER', chains: [chain.SERVICES, chain.POSTROUTING, chain.MARK_MASQ] },
  filter: { sign: 'KUBE-IPVS-FILTER', chains: [chain.FORWARD, chain.PROXY_FIREWALL] },
} as const satisfies Record<string, { readonly sign: string; readonly chains: readonly string[] }>;

/** Jumps that mode ipvs has word for word. */
const JUMPS_OF_IPVS: readonly string[] = [chain.SERVICES, chain.POSTROUTING, chain.FORWARD];

export function planCleanup(saved: SavedTables, limit: NatSectionLimit): RestoreInput {
  const filter = parseSave(saved.filter).get('filter');
  const nat = parseSave(saved.nat).get('nat');
  const mangle = parseSave(saved.mangle).get('mangle');
  const kubelet = mangle?.chains.has('KUBE-KUBELET-CANARY') ?? false;
  const keepFirewall = kubelet || !holdsOnlyTheGuard(filter);
  const firewall = keepFirewall ? [chain.FIREWALL] : [];
  const kept = { nat: keptFor('nat', nat), filter: [...keptFor('filter', filter), ...firewall] };
  const owned = chain.ownedInRemovalOrder([...(nat?.chains.keys() ?? [])]);

  const input = new RestoreInput();
  // Where mode ipvs never came to write its own, what it has by the same name may still lead to what goes.
  const gone = new Set([...owned, chain.NODE_PORTS]);
  const leads = deleteRules(nat, kept.nat, (rule) => gone.has(targetOf(rule) ?? ''));
  const leading = leads + removePresent(nat, [chain.SERVICES, chain.NODE_PORTS, chain.POSTROUTING], kept.nat);
  addSection(input, 'nat', removeJumps(nat, 'nat', kept.nat) + leading);
  for (let i = 0; i < owned.length; i += limit)
    addSection(input, 'nat', removeChains(owned.slice(i, i + limit)));
  addSection(input, 'nat', removePresent(nat, [chain.MARK_MASQ, chain.CANARY, chain.PROBE], kept.nat));
  const filterNames = [...chain.FILTER_CHAINS, chain.CANARY, chain.PROBE, chain.FIREWALL];
  const filterChains = removePresent(filter, filterNames, kept.filter);
  addSection(input, 'filter', removeJumps(filter, 'filter', kept.filter) + filterChains);
  addSection(input, 'mangle', removePresent(mangle, [chain.CANARY], []));
  return input;
}

function keptFor(name: 'nat' | 'filter', table: SavedTable | undefined): readonly string[] {
  const { sign, chains } = WITH_IPVS[name];
  return table?.chains.has(sign) ? chains : [];
}

function addSection(input: RestoreInput, table: chain.Table, text: string): void {
  if (text !== '') input.add(`*${table}\n${text}COMMIT\n`);
}

function removePresent(
  table: SavedTable | undefined,
  names: readonly string[],
  kept: readonly string[],
): string {
  return removeChains(names.filter((name) => table?.chains.has(name) && !kept.includes(name)));
}

/** Every copy of each jump: an interrupted start or a second program may have left more than one. */
function removeJumps(table: SavedTable | undefined, name: 'filter' | 'nat', kept: readonly string[]): string {
  const isKept = (to: string) => kept.includes(to) && (to === chain.FIREWALL || JUMPS_OF_IPVS.includes(to));
  return chain.JUMPS.filter((jump) => jump.table === name && !isKept(jump.to))
    .flatMap((jump) => {
      const rules = table?.chains.get(jump.from) ?? [];
      const copies = rules.filter((rule) => normalizeRule(rule) === normalizeRule(jump.rule));
      return copies.map(() => `-D ${jump.from} ${jump.rule}\n`);
    })
    .join('');
}

/** KUBE-FIREWALL is kubelet's too; it is ours to remove only when nothing in it can be another's. */
function holdsOnlyTheGuard(filter: SavedTable | undefined): boolean {
  const rules = filter?.chains.get(chain.FIREWALL) ?? [];
  return rules.every((rule) => normalizeRule(rule) === normalizeRule(LOCALNET_GUARD_SAVED));
}
