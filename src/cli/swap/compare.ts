/** penstock compare: whether another proxy's rules lead every client where penstock would. Changes nothing. */
import { otherProxyRules } from '../../agent/leave/otherProxyRules.js';
import { compareRules } from '../../compare/compareRules.js';
import { modeOf, readRules } from '../../compare/readRules.js';
import { reportJson, reportText } from '../../compare/report.js';
import { PenstockError } from '../../errors.js';
import { requireAllFiles } from '../../kubernetes/manifests/manifestErrors.js';
import { printable } from '../../net/printable.js';
import { readArguments } from '../readArguments.js';
import { MODEL_FLAGS, MODEL_HELP, modeFlag, namesSource } from '../see/modelFlags.js';
import { formatOf, OUTPUT_FLAG, print } from '../see/output.js';
import { readModel } from '../see/readModel.js';
import { kubeProxyFlags } from './kubeProxyFlags.js';
import { RULE_FLAGS, RULE_HELP, ruleFiles } from './ruleFiles.js';

export const HELP = `penstock compare [files of rules] [-o json]

Asks for every kind of client (a pod here, a pod elsewhere, the node, somebody outside, inside and outside of source ranges, an
endpoint itself) and every address and port of every Service: do the rules of another proxy lead to the same endpoints as
penstock would? And the other way: do they lead anywhere that no Service asks for? Nothing is changed and nothing is sent.

${RULE_HELP}
${MODEL_HELP}
Without --mode and a mode in the configuration, penstock's mode is taken to be the other proxy's.
Without files, on a node where kube-proxy runs: its rules are read from the kernel, and its Services with its own kubeconfig.
The exit status is 0 when all answers are equal, 1 when they differ, 2 when it could not look.

  penstock compare
  iptables-save >rules.txt; penstock compare --manifests objects/ --config config.yaml --iptables-save rules.txt
`;

const OPTIONS = {
  ...OUTPUT_FLAG,
  ...MODEL_FLAGS,
  ...RULE_FLAGS,
} as const;

export async function compare(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, { options: OPTIONS });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const format = formatOf(values.output);
  modeFlag(values.mode);
  const files = ruleFiles(values);
  const texts = files ?? (await otherProxyRules());
  const flags = files || namesSource(values) ? values : { ...kubeProxyFlags(), ...values };
  const { world, rules, problems } = await readModel(flags, { mode: modeOf(texts) });
  requireAllFiles(problems);
  for (const { subject, message } of problems) {
    process.stderr.write(`penstock compare: ${printable(`${subject}: ${message}`)}\n`);
  }
  const other = readRules(texts, world, rules);
  const comparison = compareRules(world, rules, other);
  if (comparison.asked === 0)
    throw new PenstockError(
      'PENSTOCK_MANIFESTS_NONE',
      'there is no Service to ask about, and no rules of any',
      {
        remedy: 'Give --manifests with Services and EndpointSlices, or --kubeconfig.',
      },
    );
  process.stdout.write(format === 'json' ? reportJson(comparison, other) : reportText(comparison, other));
  const [first] = other.notFollowed;
  if (format === 'text' && first !== undefined) {
    const count = other.notFollowed.length;
    process.stderr.write(`${count} rules of others are not followed, such as ${printable(first)}\n`);
  }
  return comparison.differences.every(({ meant }) => meant !== undefined) ? 0 : 1;
}
