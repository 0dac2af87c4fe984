/** Rules in the kernel against those that a full sync would write, chain by chain, as iptables-save has them. */
import { append } from '../../append.js';
import { parseSave, type SavedTable } from '../../kernel/xtables/parseSave.js';
import { ruleForm } from '../../kernel/xtables/ruleForm.js';
import type { XtablesTool } from '../../kernel/xtables/XtablesTool.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { type KernelDifference, nothingThere } from '../KernelDifference.js';
import { LARGE_CLUSTER_ENDPOINTS } from './FamilySync.js';
import { RuleSet, SHARED_CHAINS, splitShared } from './plan/RuleSet.js';
import * as chain from './rules/chains.js';
import { forwardRules, masqueradeRules, nodePortDispatchRules } from './rules/fixedRules.js';
import type { RuleSettings } from './rules/RuleSettings.js';
import { type CommentStyle, renderServicePort } from './rules/renderServicePort.js';

interface Wanted {
  readonly rules: string[];
  /** Of the chain, or of each rule. */
  readonly services: string[];
}

type Wants = Map<string, Wanted>;

/** Writes nothing. Rejects when the tools fail. */
export async function differences(
  tool: XtablesTool,
  ports: ReadonlyMap<string, ServicePort>,
  settings: RuleSettings,
): Promise<readonly KernelDifference[]> {
  const [filter, nat] = await Promise.all([tool.save('filter'), tool.save('nat')]);
  const present = { filter: parseSave(filter).get('filter'), nat: parseSave(nat).get('nat') };
  if (!present.nat?.chains.has(chain.SERVICES))
    return [nothingThere(`chain ${chain.SERVICES} (table nat, ${tool.family})`, ports.size)];
  const found: KernelDifference[] = [];
  for (const jump of chain.JUMPS) {
    const rules = present[jump.table]?.chains.get(jump.from) ?? [];
    if (!rules.some((rule) => ruleForm(rule) === ruleForm(jump.rule)))
      found.push({ sign: '+', what: `jump in ${jump.from} (${jump.table})`, service: '', text: jump.rule });
  }
  // As in a sync, comments of endpoints are left out in large clusters, and what is there may have either.
  const endpoints = [...ports.values()].reduce((sum, port) => sum + port.endpoints.all.length, 0);
  const style = endpoints > LARGE_CLUSTER_ENDPOINTS ? 'brief' : 'full';
  const wanted = wants(ports, settings, style);
  for (const table of ['nat', 'filter'] as const)
    append(found, tableDifferences(table, wanted[table], present[table]));
  return found;
}

function wants(
  ports: ReadonlyMap<string, ServicePort>,
  settings: RuleSettings,
  style: CommentStyle,
): Readonly<Record<'nat' | 'filter', Wants>> {
  const all = { nat: new Map<string, Wanted>(), filter: new Map<string, Wanted>() };
  const want = (table: 'nat' | 'filter', name: string, rules: readonly string[], service: string) => {
    const known = all[table].get(name) ?? { rules: [], services: [] };
    for (const rule of rules) {
      known.rules.push(rule);
      known.services.push(service);
    }
    all[table].set(name, known);
  };
  const rules = new RuleSet();
  rules.apply(
    [...ports].map(([key, port]) => ({
      key,
      before: undefined,
      after: renderServicePort(port, settings, style),
    })),
  );
  const nameOf = (key: string) => ports.get(key)?.name ?? key;
  for (const [key, rendered] of rules.entries())
    for (const { name, text } of rendered.own) want('nat', name, rulesIn(text), nameOf(key));
  for (const shared of SHARED_CHAINS) {
    const [table, name] = splitShared(shared);
    want(table, name, [], '');
    for (const [key, own] of rules.shared(shared).entries()) want(table, name, own, nameOf(key));
  }
  const fixed = (table: 'nat' | 'filter', text: string) => {
    for (const [, name = '', rule = ''] of text.matchAll(/^-A (\S+) (.*)$/gm)) want(table, name, [rule], '');
  };
  fixed('nat', masqueradeRules(settings) + nodePortDispatchRules(settings));
  fixed('filter', forwardRules(settings));
  return all;
}

function rulesIn(text: string): string[] {
  return text.split('\n').flatMap((line) => (line === '' ? [] : [line.replace(/^-A \S+ /, '')]));
}

function tableDifferences(table: string, wanted: Wants, present: SavedTable | undefined): KernelDifference[] {
  const found: KernelDifference[] = [];
  for (const [name, { rules, services }] of wanted) {
    const there = present?.chains.get(name);
    const service = services[0] ?? '';
    if (there === undefined) {
      found.push({
        sign: '+',
        what: 'chain',
        service,
        text: `${name} (${table}), with ${rules.length} rules`,
      });
    } else append(found, chainDifferences(`rule in ${name} (${table})`, rules, services, there));
  }
  for (const [name, rules] of present?.chains ?? []) {
    if (
      wanted.has(name) ||
      table !== 'nat' ||
      !chain.OWNED_PREFIXES.some((prefix) => name.startsWith(prefix))
    )
      continue;
    const comment = /--comment "?([^" ]+)/.exec(rules.join(' '))?.[1] ?? '';
    found.push({
      sign: '-',
      what: 'chain',
      service: comment,
      text: `${name} (nat), with ${rules.length} rules`,
    });
  }
  return found;
}

function chainDifferences(
  what: string,
  wanted: readonly string[],
  services: readonly string[],
  there: readonly string[],
): KernelDifference[] {
  // Each once: most of the time goes here, and nearly all chains are as they should be.
  const wantedForms = wanted.map(ruleForm);
  const thereForms = there.map(ruleForm);
  if (wanted.length === there.length && wantedForms.every((form, i) => form === thereForms[i])) return [];
  const left = new Map<string, string[]>();
  for (const [i, rule] of there.entries()) {
    const form = thereForms[i] ?? '';
    const known = left.get(form);
    if (known) known.push(rule);
    else left.set(form, [rule]);
  }
  const found: KernelDifference[] = [];
  for (const [i, rule] of wanted.entries()) {
    const form = wantedForms[i] ?? '';
    const same = left.get(form);
    if (same === undefined) found.push({ sign: '+', what, service: services[i] ?? '', text: rule });
    else if (same.length === 1) left.delete(form);
    else same.pop();
  }
  for (const rules of left.values())
    for (const rule of rules) found.push({ sign: '-', what, service: '', text: rule });
  return found.length > 0 ? found : order(what, wantedForms, thereForms, services[0] ?? '');
}

/** Of forms. Statistic matches count what comes before; the last rule of KUBE-SERVICES must be the last. Shared chains are sorted. */
function order(
  what: string,
  wanted: readonly string[],
  there: readonly string[],
  service: string,
): KernelDifference[] {
  const isOwn = /KUBE-(SVC|SVL|EXT|FW|SEP)-/.test(what);
  const differs = isOwn
    ? wanted.some((form, i) => form !== there[i])
    : what.includes(chain.SERVICES) && what.includes('nat') && wanted.at(-1) !== there.at(-1);
  return differs ? [{ sign: '~', what, service, text: 'the rules are in another order' }] : [];
}
