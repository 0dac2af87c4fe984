/** penstock cleanup: removes everything of ours from the kernel, and puts changed kernel parameters back. */
import { parseArgs } from 'node:util';
import { removeIptables } from '../agent/removeIptables.js';
import { removeIpvs } from '../agent/removeIpvs.js';
import { removeNftables } from '../agent/removeNftables.js';
import type { Removal } from '../agent/removeRules.js';
import { messageOf } from '../errors.js';
import { Sysctls } from '../kernel/sysctl/Sysctls.js';

const HELP = `penstock cleanup [--dry-run]

Removes the nftables tables of penstock; its virtual servers, sets and kube-ipvs0; its iptables rules and chains (these
and the sets are kube-proxy's too); and puts kernel parameters back to what they were. Nothing else is touched.

  --dry-run   print what would be done
`;

/** Resolves with 1 when something could not be removed; says what and goes on with the rest. */
export async function cleanup(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { 'dry-run': { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const what = values['dry-run'] ? 'plan' : 'remove';
  // Chains that modes ipvs and iptables both have go with the last of them.
  const failures = (await cleanNftables(what)) + (await cleanIpvs(what)) + (await cleanIptables(what));
  if (what === 'remove') {
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
async function cleanIpvs(what: 'plan' | 'remove'): Promise<number> {
  const { rules, objects, error } = await removeIpvs(what);
  const failures = reportRules(
    rules.filter(({ input, error }) => input !== '' || error !== undefined),
    what,
  );
  const done = what === 'plan' ? 'would be removed' : 'removed';
  for (const object of objects) process.stdout.write(`ipvs: ${object} ${done}\n`);
  if (objects.length === 0 && error === undefined) process.stdout.write('ipvs: nothing of ours\n');
  if (error === undefined) return failures;
  process.stderr.write(`penstock cleanup: ipvs: ${messageOf(error)}\n`);
  return failures + 1;
}

async function cleanIptables(what: 'plan' | 'remove'): Promise<number> {
  return reportRules(await removeIptables(what), what);
}

/** Returns the number of failures. */
function reportRules(removals: readonly Removal[], what: 'plan' | 'remove'): number {
  let failures = 0;
  for (const { subject, chains, input, error } of removals) {
    if (error !== undefined) {
      failures++;
      process.stderr.write(`penstock cleanup: ${subject}: ${messageOf(error)}\n`);
    } else if (input === '') process.stdout.write(`${subject}: nothing of ours\n`);
    else if (what === 'plan') process.stdout.write(`# ${subject}: iptables-restore --noflush\n${input}`);
    else process.stdout.write(`${subject}: removed ${chains} chains\n`);
  }
  return failures;
}
