/** The restore input that puts the fixed rules in place, or takes them away. */
import {
  deleteRules,
  normalizeRule,
  parseSave,
  type SavedTable,
  targetOf,
} from '../../../kernel/xtables/parseSave.js';
import { RestoreInput } from '../../../kernel/xtables/RestoreInput.js';
import { CLUSTER_CLIENT_TAG } from '../desired/clusterClientMark.js';
import type { RuleSettings } from '../desired/IpvsSettings.js';
import * as chain from './chains.js';
import { type FixedRules, fixedRules } from './fixedRules.js';

/** In a rule that asks a set of this mode; mode iptables has none. */
const NAMES_SET = /--(?:match|map)-set (?:KUBE|PENSTOCK)-/;

const OWN_PREFIX = 'PENSTOCK-';

/** In chains of kube-proxy's names, a rule that kube-proxy never writes: node ports on loopback, marks of clients in the cluster. */
const OWN_RULE = new RegExp(
  `--(?:match|map)-set ${OWN_PREFIX}|-j REDIRECT |--mark 0x[0-9a-f]+/${CLUSTER_CLIENT_TAG} `,
);

/** Tables that exist. */
export type SavedRules = Readonly<Partial<Record<chain.Table, SavedTable>>>;

export const NO_SAVED_RULES: SavedRules = {};

/** From the output of `iptables-save`. */
export function readSavedRules(saved: string): SavedRules {
  const parsed = parseSave(saved);
  const tables: Partial<Record<chain.Table, SavedTable>> = {};
  for (const name of chain.TABLES) {
    const table = parsed.get(name);
    if (table) tables[name] = table;
  }
  return tables;
}

/** Only tables in which something differs are written, and of those all our chains, which the kernel swaps at once. */
export function planRules(settings: RuleSettings, present: SavedRules): RestoreInput {
  const rules = fixedRules(settings);
  const input = new RestoreInput();
  for (const table of chain.TABLES) {
    const missing = missingJumps(table, present);
    if (missing.length === 0 && sameChains(table, rules, present)) continue;
    input.add(`*${table}\n`);
    for (const name of chain.CHAINS[table]) input.add(`:${name} - [0:0]\n`);
    for (const [name, list] of rules[table]) {
      for (const rule of list) input.add(`-A ${name} ${rule}\n`);
    }
    for (const { from, rule } of missing) input.add(`-I ${from} ${rule}\n`);
    input.add('COMMIT\n');
  }
  return input;
}

/** The first thing that is not as it should be, as a sentence; undefined when all is there. */
export function describeMissing(settings: RuleSettings, present: SavedRules): string | undefined {
  const rules = fixedRules(settings);
  for (const table of chain.TABLES) {
    const [jump] = missingJumps(table, present);
    if (jump) return `the jump from ${jump.from} to ${jump.to} (table ${table}) is gone`;
    for (const [name, wanted] of rules[table]) {
      const found = present[table]?.chains.get(name);
      if (!found) return `chain ${name} (table ${table}) is gone`;
      if (!sameRules(wanted, found)) return `the rules of chain ${name} (table ${table}) are others`;
    }
  }
  return undefined;
}

/** Rules that lead into chains of mode iptables, which has some of the same names. */
export function isOtherMode(present: SavedRules): boolean {
  const services = present.nat?.chains.get(chain.SERVICES) ?? [];
  return services.some((rule) => /-j KUBE-(SVC|SVL|EXT|FW|NODEPORTS)/.test(rule));
}

/**
 * Removes every rule and chain of mode ipvs, kube-proxy's too, and nothing else. What mode iptables has by the same names
 * stays where that mode is, too.
 */
export function planRemoval(present: SavedRules): RestoreInput {
  const input = new RestoreInput();
  for (const table of chain.TABLES) {
    const there = present[table];
    const chains = [...(there?.chains.keys() ?? [])];
    const shared = chain.SHARED[table];
    if (!chains.some((name) => chain.CHAINS[table].includes(name) && !shared.includes(name))) continue;
    const besideIptables = chains.some((name) => chain.isOfModeIptables(table, name));
    const jumps = chain.JUMPS.filter(
      (jump) => jump.table === table && !(besideIptables && chain.SHARED_JUMPS_TO.includes(jump.to)),
    ).flatMap(({ from, rule }) => {
      const copies = (there?.chains.get(from) ?? []).filter((found) => sameRule(found, rule));
      return copies.map(() => `-D ${from} ${rule}\n`);
    });
    const names = chain.CHAINS[table].filter(
      (name) => chains.includes(name) && !(besideIptables && shared.includes(name)),
    );
    // What stays may be as this mode wrote it: neither chains nor sets could go before the rules that name them.
    const isOwn = (rule: string) => names.includes(targetOf(rule) ?? '') || NAMES_SET.test(rule);
    const rules = deleteRules(there, besideIptables ? shared : [], isOwn);
    addRemoval(input, table, names, `${jumps.join('')}${rules}`);
  }
  return input;
}

/**
 * Removes the rules that kube-proxy's mode ipvs does not have: of all that this mode wrote, what kube-proxy neither keeps up to date nor
 * removes. The rest stays, in whichever form it is.
 */
export function planOwnRemoval(present: SavedRules): RestoreInput {
  const input = new RestoreInput();
  for (const table of chain.TABLES) {
    const there = present[table];
    const names = chain.CHAINS[table].filter(
      (name) => name.startsWith(OWN_PREFIX) && there?.chains.has(name),
    );
    const isOwnJump = (rule: string) => names.includes(targetOf(rule) ?? '');
    const jumps = deleteRules(there, ['INPUT', 'OUTPUT'], isOwnJump);
    const rules = deleteRules(
      there,
      chain.CHAINS[table].filter((name) => !names.includes(name)),
      (rule) => OWN_RULE.test(rule),
    );
    if (names.length === 0 && rules === '') continue;
    addRemoval(input, table, names, `${jumps}${rules}`);
  }
  return input;
}

/** `rules`: lines that delete what leads to the chains. */
function addRemoval(input: RestoreInput, table: chain.Table, chains: readonly string[], rules: string): void {
  input.add(`*${table}\n`);
  // A declaration empties the chain, so that none refers to another when they are removed.
  for (const name of chains) input.add(`:${name} - [0:0]\n`);
  input.add(rules);
  for (const name of chains) input.add(`-X ${name}\n`);
  input.add('COMMIT\n');
}

function missingJumps(table: chain.Table, present: SavedRules): readonly chain.Jump[] {
  return chain.JUMPS.filter(
    (jump) =>
      jump.table === table &&
      !present[table]?.chains.get(jump.from)?.some((found) => sameRule(found, jump.rule)),
  );
}

function sameChains(table: chain.Table, rules: FixedRules, present: SavedRules): boolean {
  return [...rules[table]].every(([name, wanted]) =>
    sameRules(wanted, present[table]?.chains.get(name) ?? undefined),
  );
}

function sameRules(wanted: readonly string[], found: readonly string[] | undefined): boolean {
  return found?.length === wanted.length && wanted.every((rule, i) => sameRule(found[i] ?? '', rule));
}

/** iptables-save puts a backslash before an apostrophe. */
function sameRule(a: string, b: string): boolean {
  const plain = (rule: string) => normalizeRule(rule.replaceAll("\\'", "'"));
  return a === b || plain(a) === plain(b);
}
