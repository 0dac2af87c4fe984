/** penstock cleanup: removes everything of ours from the kernel, and puts changed kernel parameters back. */

import { setTimeout as sleep } from 'node:timers/promises';
import { messageWithRemedy } from '../../errors.js';
import { missingForCleanup, requireAll, thisProcess } from '../../host/privileges.js';
import { STATE_FOLDER } from '../../kernel/host/stateFiles.js';
import { Sysctls } from '../../kernel/sysctl/Sysctls.js';
import { removeIptables } from '../../modes/removing/removeIptables.js';
import { type IpvsShare, removeIpvs } from '../../modes/removing/removeIpvs.js';
import { removeNftables } from '../../modes/removing/removeNftables.js';
import type { Removal } from '../../modes/removing/removeRules.js';
import { DIVERT, removeDivertRoutes, removeLocalRanges } from '../../modes/removing/removeUserspace.js';
import { printable, printableLines } from '../../net/printable.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { findKubeProxy } from './findKubeProxy.js';
import { isKubeProxyMode, KUBE_PROXY, type KubeProxyMode } from './kubeProxyMode.js';
import { removeOwnTables } from './removeOwnTables.js';
import { removeStateFiles } from './removeStateFiles.js';
import { requireNoAgent } from './requireNoAgent.js';
import { servingMode } from './servingMode.js';
import { whatIsLeft } from './whatIsLeft.js';

const MODES = ['nftables', 'iptables', 'ipvs', 'userspace'] as const;

export const HELP = `penstock cleanup [--mode ${MODES.join('|')}] [--keep auto|MODE] [--stop] [--dry-run | --check]

Removes the nftables tables of penstock; its virtual servers, sets and kube-ipvs0; its iptables rules and chains (these
and the sets are kube-proxy's too); puts kernel parameters back to what they were; and removes the files of agents that ended in
/run/penstock. Nothing else is touched.

  --mode MODE   remove only what this mode made, and leave kernel parameters alone: for a node that kube-proxy serves again,
                or a penstock in mode nftables or userspace serves, where that is another mode
  --stop        end the penstock that serves this node first; without, nothing else is done while one runs, which would write it anew
  --keep MODE   a kube-proxy in this mode serves the node, or will: what it has in common with penstock stays, kernel parameters
                too. auto: asks the kube-proxy on 127.0.0.1:10249, or looks for its process and its rules; where one may be
                and does not say its mode, nothing is removed; where none is, everything goes
  --dry-run     print what would be done
  --check       only say whether anything of ours is there

The exit status is 0 when nothing of ours is left, as a last look at the kernel says; 1 when something is, or cannot be looked at.
`;

/** How long kube-proxy may take to have its port after an agent had it, and how often it is asked, in milliseconds. */
const BINDS_WITHIN_MS = 6000;
const ASK_EVERY_MS = 500;

/** Resolves with 1 when something could not be removed; says what and goes on with the rest. */
export async function cleanup(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, {
    options: {
      mode: { type: 'string' },
      keep: { type: 'string' },
      check: { type: 'boolean' },
      stop: { type: 'boolean' },
      'dry-run': { type: 'boolean' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const what = values['dry-run'] ? 'plan' : 'remove';
  const { mode } = values;
  if (mode !== undefined && !MODES.some((known) => known === mode)) {
    throw new WrongCall(
      `nothing is known of mode ${JSON.stringify(mode)}`,
      `Use --mode with one of ${MODES.join(', ')}, or without for everything.`,
    );
  }
  if (mode !== undefined && (values.keep !== undefined || values.check))
    throw new WrongCall('--mode does not go with --keep or --check', 'Use one of them.');
  const keep = readKeep(values.keep);
  requireAll(missingForCleanup(thisProcess()));
  // Before anybody is asked: an agent that runs has kube-proxy's port.
  const removes = what === 'remove' && !values.check;
  const serving = mode === undefined || values.stop ? undefined : await servingMode();
  if (removes && !mayClean(mode, serving)) await requireNoAgent(values.stop ? 'stop' : 'refuse');
  const keeps = await keptMode(keep, removes && values.stop === true);
  if (values.check) return saysWhatIsLeft(keeps, process.stdout);
  const concerns = (...modes: readonly string[]) =>
    mode === undefined ? !modes.every((each) => each === keeps) : modes.includes(mode);
  if (keeps !== undefined) process.stdout.write(`kube-proxy serves in mode ${keeps}: what both have stays\n`);
  let failures = 0;
  if (mode !== undefined || concerns('nftables', 'userspace'))
    failures += await cleanNftables(what, mode, serving);
  if (concerns('userspace') && what === 'remove') failures += await cleanRoutes();
  // Chains that modes ipvs and iptables both have go with the last of them.
  if (mode === undefined || mode === 'ipvs')
    failures += await cleanIpvs(what, keeps === 'ipvs' ? "not kube-proxy's" : 'all');
  if (concerns('iptables')) failures += await cleanIptables(what);
  if (what === 'remove' && mode === undefined) {
    // kube-proxy sets the same ones, at its start only.
    if (keeps === undefined) failures += putBackSysctls();
    failures += await saysWhatIsLeft(keeps, process.stderr);
    // The next try needs to know whose the rules are.
    failures += await cleanFiles(failures === 0 ? 'too' : 'stays');
  }
  return failures === 0 ? 0 : 1;
}

/** Beside an agent of another mode that has no chains, sets or virtual servers: what this one made may go. */
function mayClean(mode: string | undefined, serving: string | undefined): boolean {
  return serving !== mode && (serving === 'nftables' || serving === 'userspace');
}

type Keep = KubeProxyMode | 'auto' | undefined;

function readKeep(text: string | undefined): Keep {
  if (text === undefined || text === 'auto' || isKubeProxyMode(text)) return text;
  throw new WrongCall(
    `--keep is ${JSON.stringify(text)}`,
    'Use auto, or a mode of kube-proxy: nftables, iptables, ipvs.',
  );
}

/** `waits`: an agent that has just ended held kube-proxy's port, which kube-proxy tries again every 5 s. */
async function keptMode(keep: Keep, waits: boolean): Promise<KubeProxyMode | undefined> {
  if (keep !== 'auto') return keep;
  const deadline = performance.now() + (waits ? BINDS_WITHIN_MS : 0);
  let found = await findKubeProxy();
  while (found.type !== 'serves' && performance.now() < deadline) {
    await sleep(ASK_EVERY_MS);
    found = await findKubeProxy();
  }
  if (found.type === 'unclear')
    throw new WrongCall(
      `${found.why}, so nothing was removed`,
      'Use --keep with the mode of kube-proxy, or leave --keep out: then everything goes.',
    );
  if (found.type === 'serves') return found.mode;
  say(
    `no kube-proxy listens on ${KUBE_PROXY.host}:${KUBE_PROXY.port}, or runs, or has rules here: nothing is kept for it\n`,
  );
  return undefined;
}

/** Returns 1 when something is. */
async function saysWhatIsLeft(keeps: KubeProxyMode | undefined, stream: NodeJS.WriteStream): Promise<0 | 1> {
  const left = await whatIsLeft(keeps);
  for (const each of left) stream.write(`penstock cleanup: still there: ${printable(each)}\n`);
  if (left.length === 0) process.stdout.write('clean: nothing of penstock is in this kernel\n');
  return left.length === 0 ? 0 : 1;
}

/** Returns the number of failures. */
function putBackSysctls(): number {
  const { restored, failed } = new Sysctls().restore();
  for (const name of restored) say(`put back: ${name.replaceAll('/', '.')}\n`);
  for (const error of failed) complain('kernel parameters', error);
  return failed.length;
}

/** Returns the number of failures. */
async function cleanFiles(note: 'too' | 'stays'): Promise<number> {
  try {
    await removeStateFiles(note);
    return 0;
  } catch (error) {
    complain(STATE_FOLDER, error);
    return 1;
  }
}

/** Returns the number of failures. */
async function cleanNftables(
  what: 'plan' | 'remove',
  mode: string | undefined,
  serving: string | undefined,
): Promise<number> {
  try {
    const tables =
      mode === undefined
        ? await removeOwnTables(what)
        : await removeNftables(what, { of: mode, kept: serving });
    const done = what === 'plan' ? 'would be removed' : 'removed';
    for (const table of tables) say(`nftables: table ${table} ${done}\n`);
    if (tables.length === 0) say('nftables: nothing of ours\n');
    return 0;
  } catch (error) {
    complain('nftables', error);
    return 1;
  }
}

/** Returns the number of failures. */
async function cleanRoutes(): Promise<number> {
  try {
    for (const family of await removeDivertRoutes())
      say(`${family}: removed the rule and route of table ${DIVERT.table}\n`);
    for (const cidr of await removeLocalRanges()) say(`removed the local route of ${cidr}\n`);
    return 0;
  } catch (error) {
    complain('routes', error);
    return 1;
  }
}

/** Returns the number of failures. */
async function cleanIpvs(what: 'plan' | 'remove', share: IpvsShare): Promise<number> {
  const { rules, objects, error } = await removeIpvs(what, share);
  const failures = reportRules(
    rules.filter(({ input, error }) => input !== '' || error !== undefined),
    what,
  );
  const done = what === 'plan' ? 'would be removed' : 'removed';
  for (const object of objects) say(`ipvs: ${object} ${done}\n`);
  if (objects.length === 0 && error === undefined) say('ipvs: nothing of ours\n');
  if (error === undefined) return failures;
  complain('ipvs', error);
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
      complain(subject, error);
    } else if (input === '') say(`${subject}: nothing of ours\n`);
    else if (what === 'plan') say(`# ${subject}: iptables-restore --noflush\n${input}`);
    else say(`${subject}: removed ${chains} chains\n`);
  }
  return failures;
}

function say(text: string): void {
  process.stdout.write(printableLines(text));
}

/** `error` may hold texts of the kernel and of programs. */
function complain(subject: string, error: unknown): void {
  process.stderr.write(printableLines(`penstock cleanup: ${subject}: ${messageWithRemedy(error)}\n`));
}
