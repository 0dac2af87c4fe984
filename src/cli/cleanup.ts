/** penstock cleanup: removes everything of ours from the kernel, and puts changed kernel parameters back. */
import { parseArgs } from 'node:util';
import { removeDivertRoutes } from '../agent/removeDivertRoutes.js';
import { removeIptables } from '../agent/removeIptables.js';
import { removeNftables } from '../agent/removeNftables.js';
import { DIVERT } from '../agent/userspaceMode.js';
import { messageOf, PenstockError } from '../errors.js';
import { Sysctls } from '../kernel/sysctl/Sysctls.js';

const HELP = `penstock cleanup [--mode nftables|iptables] [--dry-run]

Removes the nftables tables of penstock, the iptables rules and chains of penstock (they are kube-proxy's too), and puts
kernel parameters back to what they were. Nothing else is touched.

  --mode MODE   remove only what this mode made, and leave kernel parameters alone: for a node that kube-proxy serves again
  --dry-run     print what would be done
`;

/** Resolves with 1 when something could not be removed; says what and goes on with the rest. */
export async function cleanup(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      mode: { type: 'string' },
      'dry-run': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const what = values['dry-run'] ? 'plan' : 'remove';
  const { mode } = values;
  if (mode !== undefined && mode !== 'nftables' && mode !== 'iptables') {
    throw new PenstockError('PENSTOCK_MODE_MISSING', `nothing is known of mode ${mode}`, {
      remedy: 'Use --mode nftables, --mode iptables, or neither for everything.',
    });
  }
  let failures =
    (mode === 'iptables' ? 0 : await cleanNftables(what)) +
    (mode === 'nftables' ? 0 : await cleanIptables(what));
  if (what === 'remove' && mode === undefined) {
    failures += await cleanRoutes();
    for (const name of new Sysctls().restore())
      process.stdout.write(`put back: ${name.replaceAll('/', '.')}\n`);
  }
  return failures === 0 ? 0 : 1;
}

/** Returns the number of failures. */
async function cleanNftables(what: 'plan' | 'remove'): Promise<number> {
  try {
    const tables = await removeNftables(what);
    const done = what === 'plan' ? 'would be removed' : 'removed';
    for (const table of tables) process.stdout.write(`nftables: table ${table} ${done}\n`);
    if (tables.length === 0) process.stdout.write('nftables: nothing of ours\n');
    return 0;
  } catch (error) {
    process.stderr.write(`penstock cleanup: nftables: ${messageOf(error)}\n`);
    return 1;
  }
}

/** Returns the number of failures. */
async function cleanRoutes(): Promise<number> {
  try {
    for (const family of await removeDivertRoutes())
      process.stdout.write(`${family}: removed the rule and route of table ${DIVERT.table}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`penstock cleanup: routes: ${messageOf(error)}\n`);
    return 1;
  }
}

/** Returns the number of failures. */
async function cleanIptables(what: 'plan' | 'remove'): Promise<number> {
  let failures = 0;
  for (const { subject, chains, input, error } of await removeIptables(what)) {
    if (error !== undefined) {
      failures++;
      process.stderr.write(`penstock cleanup: ${subject}: ${messageOf(error)}\n`);
    } else if (input === '') process.stdout.write(`${subject}: nothing of ours\n`);
    else if (what === 'plan') process.stdout.write(`# ${subject}: iptables-restore --noflush\n${input}`);
    else process.stdout.write(`${subject}: removed ${chains} chains\n`);
  }
  return failures;
}
