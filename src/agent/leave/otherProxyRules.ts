/** What another proxy wrote into this kernel, as the tools of the host print it. */
import type { RuleText, RuleTexts } from '../../compare/readRules.js';
import { messageOf, PenstockError } from '../../errors.js';
import type { Mode } from '../../explain/World.js';
import { type ProgramRunner, runCommand } from '../../kernel/xtables/runCommand.js';

const NOTHING: RuleTexts = { iptablesSave: [], nft: undefined, ipvsadm: undefined, ipset: undefined };

/**
 * `own`: the mode of the penstock that runs here, whose rules are not taken for the other's. Modes iptables and ipvs have chains of
 * the same names as the other's: where `sharedChains` says that somebody else writes them now, they are the other's. Rejects with
 * PENSTOCK_RULES_UNREADABLE when no other proxy has rules here.
 */
export async function otherProxyRules(
  own?: Mode,
  sharedChains = false,
  run = runCommand,
): Promise<RuleTexts> {
  // Only its own tables: those of others may say what no reader of ours knows.
  const nft = await output(run, 'nft', ['list', 'tables']);
  const tables = [];
  for (const family of ['ip', 'ip6']) {
    if (!nft.text?.split('\n').includes(`table ${family} kube-proxy`)) continue;
    tables.push((await output(run, 'nft', ['list', 'table', family, 'kube-proxy'])).text ?? '');
  }
  if (tables.length > 0) return { ...NOTHING, nft: { name: 'nft list table', text: tables.join('\n') } };
  const read = [await output(run, 'iptables-save', []), await output(run, 'ip6tables-save', [])];
  const isIptables = read.some(({ text = '' }) => SERVICE_CHAIN.test(text));
  // Two proxies in mode ipvs have everything in common, so what is there is the other's once that one writes it.
  const isSharedIpvs = own === 'ipvs' && sharedChains && !isIptables;
  const saves = own !== 'ipvs' ? read : read.map(isSharedIpvs ? withoutOwnChains : withoutModeIpvs);
  const iptablesSave = saves.flatMap((saved, i) =>
    isOthers(saved.text ?? '', isSharedIpvs ? undefined : own, sharedChains)
      ? [{ name: i === 0 ? 'iptables-save' : 'ip6tables-save', text: saved.text ?? '' }]
      : [],
  );
  // kube-proxy writes its rules after its virtual servers.
  const isTheirs = own === 'ipvs' ? isSharedIpvs : own !== 'iptables' || sharedChains;
  const ipvsadm = isTheirs ? await output(run, 'ipvsadm', ['-Sn']) : {};
  if (ipvsadm.text !== undefined && /^-A /m.test(ipvsadm.text)) {
    const ipset = await output(run, 'ipset', ['save']);
    return {
      iptablesSave,
      nft: undefined,
      ipvsadm: rule('ipvsadm -Sn', ipvsadm),
      ipset: rule('ipset save', ipset),
    };
  }
  if (iptablesSave.length > 0) return { ...NOTHING, iptablesSave };
  const reasons = [nft, ...saves].flatMap(({ why }) => why ?? []);
  throw new PenstockError(
    'PENSTOCK_RULES_UNREADABLE',
    `no other proxy has rules here${reasons.length > 0 ? ` (${[...new Set(reasons)].join('; ')})` : ''}`,
    {
      remedy:
        'Run it on the node where kube-proxy runs, or give its rules as files: penstock compare --help.',
    },
  );
}

/**
 * Mode ipvs has chains of kube-proxy's names; until it leaves, its rules stand among those of kube-proxy's mode iptables. They ask sets,
 * which mode iptables never does, or are in chains of penstock.
 */
function withoutModeIpvs(saved: Output): Output {
  if (saved.text === undefined) return saved;
  const isOurs = (line: string) => /--(match|map)-set |^(:|-A |.* -[jg] )PENSTOCK-/.test(line);
  const lines = saved.text.split('\n').filter((line) => !isOurs(line));
  return { ...saved, text: lines.join('\n') };
}

/** In mode ipvs: the rules without those that kube-proxy does not have. */
function withoutOwnChains(saved: Output): Output {
  const lines = saved.text?.split('\n').filter((line) => !line.includes('PENSTOCK-'));
  return lines === undefined ? saved : { ...saved, text: lines.join('\n') };
}

/** Mode ipvs has KUBE-SERVICES too, but no chains for Services. */
const SERVICE_CHAIN = /^:KUBE-(SVC|SEP|EXT)-/m;

function isOthers(saved: string, own: Mode | undefined, sharedChains: boolean): boolean {
  if (own === 'iptables') return sharedChains && saved.includes('KUBE-SERVICES');
  return own === 'ipvs' ? SERVICE_CHAIN.test(saved) : saved.includes('KUBE-SERVICES');
}

interface Output {
  readonly text?: string;
  readonly why?: string;
}

async function output(run: ProgramRunner, program: string, args: readonly string[]): Promise<Output> {
  try {
    const { stdout, status, stderr } = await run(program, args);
    return status === 0 ? { text: stdout } : { why: `${program}: ${stderr.trim().split('\n')[0] ?? status}` };
  } catch (error) {
    return { why: `${program}: ${messageOf(error)}` };
  }
}

function rule(name: string, { text = '' }: Output): RuleText {
  return { name, text };
}
