/** penstock migrate: what becomes of this node when penstock replaces kube-proxy on it. Changes nothing. */

import { otherProxyRules } from '../../agent/leave/otherProxyRules.js';
import { append } from '../../append.js';
import { modeOf, readRules } from '../../compare/readRules.js';
import { messageOf, PenstockError } from '../../errors.js';
import { hostAddresses } from '../../kernel/host/hostAddresses.js';
import { runCommand } from '../../kernel/xtables/runCommand.js';
import { requireAllFiles } from '../../kubernetes/manifests/manifestErrors.js';
import { printable, printableJson } from '../../net/printable.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { MODEL_FLAGS, MODEL_HELP, type ModelFlags, modeFlag, namesSource } from '../see/modelFlags.js';
import { print } from '../see/output.js';
import { configReader, readModel } from '../see/readModel.js';
import { checkConfig } from '../swap/config.js';
import { kubeProxyFlags } from '../swap/kubeProxyFlags.js';
import { RULE_FLAGS, RULE_HELP, ruleFiles } from '../swap/ruleFiles.js';
import { foreignRules, type RuleListing } from './foreignRules.js';
import { openConnections } from './openConnections.js';
import { portsHeld } from './portsHeld.js';
import type { Remark, Report } from './Remark.js';
import { markdown } from './reportText.js';
import { servicesThatDiffer } from './servicesThatDiffer.js';

export const HELP = `penstock migrate [--mode MODE] [files] [-o markdown|json]

A report before kube-proxy is replaced on a node: configuration fields and what becomes of them, Services that behave differently
and how, ports that processes hold, rules and policies of others that touch VIPs, and the connections that would be touched.
Changes nothing, and sends nothing.

On a node where kube-proxy runs it needs nothing else. From files, without root, anywhere:
${RULE_HELP}
${MODEL_HELP}
--mode is penstock's, nftables by default; --config is kube-proxy's configuration.
The exit status is 0 when nothing needs attention, 1 when something does, 2 when it could not look.

  penstock migrate >ticket.md
  penstock migrate --manifests objects/ --config config.yaml --iptables-save rules.txt -o json
`;

const OPTIONS = { ...MODEL_FLAGS, ...RULE_FLAGS, output: { type: 'string', short: 'o' } } as const;

export async function migrate(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, { options: OPTIONS });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const { output = 'markdown' } = values;
  if (output !== 'markdown' && output !== 'json')
    throw new WrongCall(`--output is ${JSON.stringify(output)}`, 'Use markdown or json.');
  const mode = modeFlag(values.mode) ?? 'nftables';
  const files = ruleFiles(values);
  // Rules in files, or another node's addresses: then this host is not the node.
  const isHere = files === undefined && values['node-address'] === undefined;
  const flags: ModelFlags = namesSource(values) ? values : { ...kubeProxyFlags(), ...values };
  const unseen: { section: Remark['section']; why: string }[] = [];
  const findings: Remark[] = [];

  if (flags.config === undefined)
    unseen.push({ section: 'configuration', why: 'no file of kube-proxy is known: give --config FILE' });
  else append(findings, configurationFindings(flags.config, configReader(flags)));
  if (findings.some(({ level }) => level === 'attend')) {
    // Nothing else can be asked with a configuration that is refused.
    throw new PenstockError(
      'PENSTOCK_CONFIG_INVALID',
      [`${flags.config} cannot be taken:`, ...findings.map(({ text }) => text)].join('\n  '),
      { remedy: 'Correct it first: penstock config check FILE.' },
    );
  }
  const model = await readModel({ ...flags, mode });
  requireAllFiles(model.problems);
  const texts = files ?? (isHere ? await readHere(unseen) : undefined);
  const other = texts && readRules(texts, model.world, model.rules);
  if (!texts && !isHere)
    unseen.push({
      section: 'services',
      why: 'no rules of kube-proxy were given, only objects were looked at',
    });
  append(findings, servicesThatDiffer({ ...model, other }));
  const away = 'these are files of another place; run it on the node';
  let connections: Report['connections'];
  if (isHere) {
    append(findings, portsHeld(model.world, model.config));
    append(findings, foreignRules(model.world, await listingHere()));
    try {
      connections = await openConnections(model.table, model.config, hostAddresses());
    } catch (error) {
      unseen.push({ section: 'connections', why: messageOf(error) });
    }
  } else {
    unseen.push({ section: 'ports', why: away }, { section: 'connections', why: away });
    const saves = files?.iptablesSave ?? [];
    if (saves.length > 0 || files?.nft)
      append(findings, foreignRules(model.world, { saves, nft: files?.nft?.text }));
    else unseen.push({ section: 'rules', why: away });
  }
  const report: Report = {
    node: model.config.nodeName,
    from: texts && `kube-proxy (mode ${modeOf(texts)})`,
    mode,
    services: model.world.services.length,
    findings,
    unseen,
    connections,
  };
  process.stdout.write(
    output === 'json' ? `${printableJson(JSON.stringify(report, null, 2))}\n` : markdown(report),
  );
  return findings.some(({ level }) => level === 'attend') || (connections?.touched ?? 0) > 0 ? 1 : 0;
}

function configurationFindings(file: string, readFile: (path: string) => string): Remark[] {
  const { faults, warnings } = checkConfig(file, readFile);
  const of = (level: Remark['level']) => (text: string) => {
    const [, field = '', rest = text] = /^([\w.[\]]+)(?: has no effect)?: (.*)$/s.exec(text) ?? [];
    return { section: 'configuration', level, subject: field, text: rest } as const;
  };
  return [...faults.map(of('attend')), ...warnings.map(of('note'))];
}

async function readHere(unseen: { section: Remark['section']; why: string }[]) {
  try {
    return await otherProxyRules();
  } catch (error) {
    if (!(error instanceof PenstockError) || error.code !== 'PENSTOCK_RULES_UNREADABLE') throw error;
    unseen.push({ section: 'services', why: printable(error.message) });
    return undefined;
  }
}

async function listingHere(): Promise<RuleListing> {
  const text = async (program: string, args: readonly string[]) => {
    const result = await runCommand(program, args).catch(() => undefined);
    return result?.status === 0 ? result.stdout : undefined;
  };
  const saves = [];
  for (const name of ['iptables-save', 'ip6tables-save']) {
    const saved = await text(name, []);
    if (saved !== undefined) saves.push({ name, text: saved });
  }
  return { saves, nft: await text('nft', ['list', 'ruleset']) };
}
