/** Rules of another proxy, given as files to a command. */
import type { RuleText, RuleTexts } from '../../compare/readRules.js';
import { messageOf, PenstockError } from '../../errors.js';
import { readAtMost } from '../../readAtMost.js';
import { WrongCall } from '../readArguments.js';

/** Bytes: twice what iptables-save prints of 50,000 Services. */
const MOST = 400 * 1024 * 1024;

export const RULE_FLAGS = {
  'iptables-save': { type: 'string', multiple: true },
  'ip6tables-save': { type: 'string', multiple: true },
  nft: { type: 'string' },
  ipvsadm: { type: 'string' },
  ipset: { type: 'string' },
} as const;

export const RULE_HELP = `  --iptables-save FILE   what iptables-save or ip6tables-save printed; may be given twice, once a family
  --nft FILE             what nft list ruleset printed, or nft -j list ruleset
  --ipvsadm FILE         what ipvsadm -Sn printed, with
  --ipset FILE           what ipset save printed
`;

interface RuleValues {
  readonly 'iptables-save'?: readonly string[] | undefined;
  readonly 'ip6tables-save'?: readonly string[] | undefined;
  readonly nft?: string | undefined;
  readonly ipvsadm?: string | undefined;
  readonly ipset?: string | undefined;
}

/** Undefined when none was named. Throws WrongCall, PENSTOCK_RULES_UNREADABLE. */
export function ruleFiles(values: RuleValues): RuleTexts | undefined {
  const readIf = (path: string | undefined) => (path === undefined ? undefined : readText(path));
  const files: RuleTexts = {
    iptablesSave: [...(values['iptables-save'] ?? []), ...(values['ip6tables-save'] ?? [])].map(readText),
    nft: readIf(values.nft),
    ipvsadm: readIf(values.ipvsadm),
    ipset: readIf(values.ipset),
  };
  if (files.ipset !== undefined && files.ipvsadm === undefined) {
    throw new WrongCall('--ipset goes with --ipvsadm', 'Give both.');
  }
  const isNamed = [...files.iptablesSave, files.nft, files.ipvsadm].some((file) => file !== undefined);
  return isNamed ? files : undefined;
}

function readText(path: string): RuleText {
  try {
    const text = readAtMost(path, MOST);
    if (text.length > MOST) throw new Error(`it is longer than ${MOST / 1024 / 1024} MiB`);
    return { name: path, text: text.toString('utf8') };
  } catch (error) {
    throw new PenstockError('PENSTOCK_RULES_UNREADABLE', `${path}: ${messageOf(error)}`, {
      remedy: 'Name a file that is there and that you may read.',
    });
  }
}
