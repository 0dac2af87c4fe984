/** The kube-proxy of this node: what it wrote into the kernel, and the flags with which it reads its Services. */
import { readdirSync, readFileSync } from 'node:fs';
import type { RuleText, RuleTexts } from '../../compare/readRules.js';
import { messageOf, PenstockError } from '../../errors.js';
import { runCommand } from '../../kernel/xtables/runCommand.js';
import type { ModelFlags } from '../see/readModel.js';

export interface OtherProxyHere {
  readonly texts: RuleTexts;
  /** As kube-proxy was called: `config: /proc/123/root/var/lib/kube-proxy/config.conf`. */
  readonly flags: ModelFlags;
}

/** Throws PENSTOCK_RULES_UNREADABLE when no other proxy has rules here. */
export async function otherProxyHere(): Promise<OtherProxyHere> {
  const flags = kubeProxyFlags();
  const nft = await output('nft', ['list', 'ruleset']);
  if (nft.text?.includes('table ip kube-proxy') || nft.text?.includes('table ip6 kube-proxy')) {
    return {
      texts: { iptablesSave: [], nft: rule('nft list ruleset', nft), ipvsadm: undefined, ipset: undefined },
      flags,
    };
  }
  const ipvsadm = await output('ipvsadm', ['-Sn']);
  const saves = [await output('iptables-save', []), await output('ip6tables-save', [])];
  const iptablesSave = saves.flatMap((saved, i) =>
    saved.text?.includes('KUBE-SERVICES')
      ? [{ name: i === 0 ? 'iptables-save' : 'ip6tables-save', text: saved.text }]
      : [],
  );
  if (ipvsadm.text !== undefined && /^-A /m.test(ipvsadm.text)) {
    const ipset = await output('ipset', ['save']);
    return {
      texts: {
        iptablesSave,
        nft: undefined,
        ipvsadm: rule('ipvsadm -Sn', ipvsadm),
        ipset: rule('ipset save', ipset),
      },
      flags,
    };
  }
  if (iptablesSave.length > 0) {
    return { texts: { iptablesSave, nft: undefined, ipvsadm: undefined, ipset: undefined }, flags };
  }
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

interface Output {
  readonly text?: string;
  readonly why?: string;
}

async function output(program: string, args: readonly string[]): Promise<Output> {
  try {
    const { stdout, status, stderr } = await runCommand(program, args);
    return status === 0 ? { text: stdout } : { why: `${program}: ${stderr.trim().split('\n')[0] ?? status}` };
  } catch (error) {
    return { why: `${program}: ${messageOf(error)}` };
  }
}

function rule(name: string, { text = '' }: Output): RuleText {
  return { name, text };
}

const FLAG = /^--(config|kubeconfig|hostname-override|cluster-cidr)(?:=(.*))?$/;

/** Of a process kube-proxy on this machine, its files seen through its own root; {} when there is none. */
function kubeProxyFlags(): ModelFlags {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const words = read(`/proc/${pid}/cmdline`)?.split('\0').filter(Boolean) ?? [];
    if (!/(^|\/)kube-proxy$/.test(words[0] ?? '')) continue;
    const flags: Record<string, string> = {};
    for (const [i, word] of words.entries()) {
      const [, name, value = words[i + 1] ?? ''] = FLAG.exec(word) ?? [];
      if (name === 'hostname-override') flags.node = value;
      else if (name !== undefined)
        flags[name] = name === 'cluster-cidr' ? value : `/proc/${pid}/root${value}`;
    }
    return flags;
  }
  return {};
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
