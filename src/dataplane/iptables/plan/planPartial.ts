/**
 * The restore input that turns what is in force into what shall be, touching only what differs: chains of the changed
 * service ports, and in shared chains single rules.
 */
import { append } from '../../../append.js';
import { RestoreInput } from '../../../kernel/xtables/RestoreInput.js';
import { nodePortDispatchRules } from '../rules/fixedRules.js';
import type { RuleSettings } from '../rules/RuleSettings.js';
import type { SharedChain } from '../rules/renderServicePort.js';
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
import { type RuleDelta, type RuleSet, SHARED_CHAINS, sharedRulesOf, splitShared } from './RuleSet.js';

/** `inForce` is read, not changed: the caller applies the deltas once the kernel has taken the input. */
export function planPartial(
  inForce: RuleSet,
  deltas: readonly RuleDelta[],
  settings: RuleSettings,
  limit: NatSectionLimit,
): RestoreInput {
  const written: OwnedChains[] = [];
  const removed: string[] = [];
  for (const { key, before, after } of deltas) {
    const old = new Map(before?.own.map((own) => [own.name, own.text]));
    const chains = after?.own.filter(({ name, text }) => old.get(name) !== text) ?? [];
    if (chains.length > 0) written.push({ owner: key, count: chains.length, chains: () => chains });
    for (const { name } of after?.own ?? []) old.delete(name);
    append(removed, old.keys());
  }

  const input = new RestoreInput();
  const cut = countChains(written) > limit;
  if (cut) input.append(chainSections(written, limit));
  addSection(input, 'filter', editShared(inForce, deltas, 'filter', settings));
  const nat = new RestoreInput();
  if (!cut) {
    addDeclarations(nat, written);
    addRules(nat, written);
  }
  nat.append(editShared(inForce, deltas, 'nat', settings));
  nat.add(removeChains(removed));
  addSection(input, 'nat', nat);
  return input;
}

function addSection(input: RestoreInput, table: string, content: RestoreInput): void {
  if (content.isEmpty) return;
  input.add(`*${table}\n`);
  input.append(content);
  input.add('COMMIT\n');
}

interface SharedEdit {
  readonly key: string;
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/** Above this many changed service ports in a chain, writing it anew is cheaper than editing it. */
const EDIT_LIMIT = 50;

function editShared(
  inForce: RuleSet,
  deltas: readonly RuleDelta[],
  table: 'filter' | 'nat',
  settings: RuleSettings,
): RestoreInput {
  const input = new RestoreInput();
  for (const shared of SHARED_CHAINS) {
    if (splitShared(shared)[0] !== table) continue;
    const edits = deltas
      .map(({ key, before, after }) => ({
        key,
        before: sharedRulesOf(before, shared),
        after: sharedRulesOf(after, shared),
      }))
      .filter(({ before, after }) => before.join('\n') !== after.join('\n'));
    if (edits.length === 0) continue;
    input.append(
      edits.length > EDIT_LIMIT ? rewrite(inForce, shared, edits, settings) : edit(inForce, shared, edits),
    );
  }
  return input;
}

/** Removes by content and inserts by position; the positions are those in the finished chain, taken in order. */
function edit(inForce: RuleSet, shared: SharedChain, edits: readonly SharedEdit[]): RestoreInput {
  const input = new RestoreInput();
  const [, name] = splitShared(shared);
  for (const { key, before } of edits) input.add(before.map((rule) => `-D ${name} ${rule}\n`).join(''), key);
  let position = 1;
  for (const [key, rules, edited] of merged(inForce, shared, edits)) {
    if (edited)
      input.add(
        rules
          .map(
            (rule, i) => `-I ${name} ${position + i} ${rule}
`,
          )
          .join(''),
        key,
      );
    position += rules.length;
  }
  return input;
}

function rewrite(
  inForce: RuleSet,
  shared: SharedChain,
  edits: readonly SharedEdit[],
  settings: RuleSettings,
): RestoreInput {
  const input = new RestoreInput();
  const [, name] = splitShared(shared);
  input.add(declare(name));
  for (const [key, rules] of merged(inForce, shared, edits)) {
    input.add(rules.map((rule) => `-A ${name} ${rule}\n`).join(''), key);
  }
  if (shared === 'nat KUBE-SERVICES') input.add(nodePortDispatchRules(settings));
  return input;
}

/** The chain as it shall be: [service port, its rules, whether they were edited], in order. */
function* merged(
  inForce: RuleSet,
  shared: SharedChain,
  edits: readonly SharedEdit[],
): Iterable<readonly [key: string, rules: readonly string[], edited: boolean]> {
  const pending = [...edits].sort((a, b) => (a.key < b.key ? -1 : 1));
  let next = 0;
  for (const [key, rules] of inForce.shared(shared).entries()) {
    for (let e = pending[next]; e && e.key < key; e = pending[++next]) yield [e.key, e.after, true];
    const e = pending[next];
    if (e?.key === key) {
      yield [key, e.after, true];
      next++;
    } else yield [key, rules, false];
  }
  for (let e = pending[next]; e; e = pending[++next]) yield [e.key, e.after, true];
}
