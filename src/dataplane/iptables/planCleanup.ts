/**
 * The restore input that removes every rule and chain of mode iptables and nothing else. Also removes kube-proxy's:
 * they are the same.
 */
import { normalizeRule, parseSave, type SavedTable } from '../../kernel/xtables/parseSave.js';
import { RestoreInput } from '../../kernel/xtables/RestoreInput.js';
import * as chain from './chains.js';
import { LOCALNET_GUARD_SAVED } from './fixedRules.js';
import { type NatSectionLimit, removeChains } from './sections.js';

export interface SavedTables {
  /** Output of `iptables-save -t …` */
  readonly mangle: string;
  readonly filter: string;
  readonly nat: string;
}

export function planCleanup(saved: SavedTables, limit: NatSectionLimit): RestoreInput {
  const filter = parseSave(saved.filter).get('filter');
  const nat = parseSave(saved.nat).get('nat');
  const mangle = parseSave(saved.mangle).get('mangle');
  const kubelet = mangle?.chains.has('KUBE-KUBELET-CANARY') ?? false;
  const keepFirewall = kubelet || !holdsOnlyTheGuard(filter);
  const owned = chain.ownedInRemovalOrder([...(nat?.chains.keys() ?? [])]);

  const input = new RestoreInput();
  addSection(
    input,
    'nat',
    removeJumps(nat, 'nat', keepFirewall) +
      removePresent(nat, [chain.SERVICES, chain.NODE_PORTS, chain.POSTROUTING]),
  );
  for (let i = 0; i < owned.length; i += limit)
    addSection(input, 'nat', removeChains(owned.slice(i, i + limit)));
  addSection(input, 'nat', removePresent(nat, [chain.MARK_MASQ, chain.CANARY]));
  const firewall = keepFirewall ? [] : [chain.FIREWALL];
  const filterChains = removePresent(filter, [...chain.FILTER_CHAINS, chain.CANARY, ...firewall]);
  addSection(input, 'filter', removeJumps(filter, 'filter', keepFirewall) + filterChains);
  addSection(input, 'mangle', removePresent(mangle, [chain.CANARY]));
  return input;
}

function addSection(input: RestoreInput, table: chain.Table, text: string): void {
  if (text !== '') input.add(`*${table}\n${text}COMMIT\n`);
}

function removePresent(table: SavedTable | undefined, names: readonly string[]): string {
  return removeChains(names.filter((name) => table?.chains.has(name)));
}

/** Every copy of each jump: an interrupted start or a second program may have left more than one. */
function removeJumps(table: SavedTable | undefined, name: 'filter' | 'nat', keepFirewall: boolean): string {
  return chain.JUMPS.filter((jump) => jump.table === name && !(keepFirewall && jump.to === chain.FIREWALL))
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
