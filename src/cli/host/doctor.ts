/** penstock doctor: what this kernel and host can, which mode that makes, and what stands in the way. Changes nothing. */

import { readdirSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { append } from '../../append.js';
import { messageOf } from '../../errors.js';
import { checkHost, type Finding, type HostView } from '../../host/hostChecks.js';
import { hostFamilies } from '../../kernel/host/hostFamilies.js';
import type { FeatureResult } from '../../kernel/nftables/features.js';
import { LocalRanges } from '../../kernel/routes/LocalRanges.js';
import { runCommand } from '../../kernel/xtables/runCommand.js';
import { openXtables } from '../../kernel/xtables/selectBackend.js';
import { probeLookup } from '../../modes/beside/probeLookup.js';
import { probeQueue } from '../../modes/beside/probeQueue.js';
import { chooseMode, probeKernel } from '../../modes/chooseMode.js';
import { removeIptables } from '../../modes/removing/removeIptables.js';
import { IP_FAMILIES } from '../../net/ip.js';
import { printableJson, printableLines } from '../../net/printable.js';
import { readArguments } from '../readArguments.js';
import { removeOwnTables } from './removeOwnTables.js';

export const HELP = `penstock doctor [--json]

Says what this kernel has of what penstock needs, which mode \`mode: ""\` means here, what is left of penstock on this host,
and what stands in the way of Services. Changes nothing. The exit status is 0 when some mode is possible, 1 when none is, 2 without
the rights to ask.

  --json   the same for programs
`;

interface Report {
  readonly kernel: string;
  readonly features: readonly Row[];
  /** Description, or why it cannot be used. */
  readonly iptables: Readonly<Record<string, string>>;
  readonly mode: { readonly name: string; readonly reason: string; readonly possible: boolean };
  readonly present: readonly string[];
  readonly findings: readonly Finding[];
}

interface Row {
  readonly feature: string;
  readonly neededFor: string;
  readonly kernelOption: string;
  /** By family: `ok`, or what the kernel said. */
  readonly found: Readonly<Record<string, string>>;
}

export async function doctor(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, { options: { json: { type: 'boolean' } } });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const report = await examine();
  process.stdout.write(
    values.json ? `${printableJson(JSON.stringify(report, null, 2))}\n` : printableLines(print(report)),
  );
  if (!report.mode.possible && !asRoot()) return COULD_NOT_LOOK;
  return report.mode.possible ? 0 : 1;
}

/** The exit status when the kernel was not asked. */
const COULD_NOT_LOOK = 2;

function asRoot(): boolean {
  return process.getuid?.() === 0;
}

async function examine(): Promise<Report> {
  const probed = await probeKernel(async (channel, families) => [
    ...(await probeQueue(channel, families)),
    ...probeLookup(families),
  ]);
  const iptables = await describeIptables();
  const { mode, reason, warnings } = chooseMode(probed);
  const possible = mode === 'nftables' || Object.values(iptables).some((text) => !text.startsWith('no: '));
  return {
    kernel: release(),
    features: probed instanceof Error ? [] : rows(probed),
    iptables,
    mode: { name: mode, reason, possible },
    present: await whatIsPresent(),
    findings: [
      ...warnings.map((text) => ({ text, remedy: 'load the module, or use a kernel with this option' })),
      ...(await checkHost(HOST)),
    ],
  };
}

function rows(probed: readonly FeatureResult[]): Row[] {
  const byName = new Map<string, Row & { found: Record<string, string> }>();
  for (const { feature, family, error } of probed) {
    const { name, neededFor, kernelOption } = feature;
    const row = byName.get(name) ?? { feature: name, neededFor, kernelOption, found: {} };
    row.found[family] = error ? messageOf(error) : 'ok';
    byName.set(name, row);
  }
  return [...byName.values()];
}

async function describeIptables(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const family of IP_FAMILIES) {
    try {
      const tool = await openXtables(family, 'auto');
      await tool.listChain('nat', 'POSTROUTING');
      found[family] = tool.description;
    } catch (error) {
      found[family] = `no: ${messageOf(error)}`;
    }
  }
  return found;
}

/** What penstock made, in any mode; kube-proxy's chains have the same names. */
async function whatIsPresent(): Promise<string[]> {
  const present: string[] = [];
  try {
    append(
      present,
      (await removeOwnTables('plan')).map((table) => `nftables: table ${table}`),
    );
  } catch (error) {
    present.push(`nftables: cannot be seen: ${messageOf(error)}`);
  }
  for (const family of hostFamilies()) {
    const ranges = await new LocalRanges().list(family).catch(() => []);
    append(
      present,
      ranges.map((cidr) => `routes: local ${cidr}, for mode userspace`),
    );
  }
  for (const { subject, chains, error } of await removeIptables('plan')) {
    if (error !== undefined) present.push(`${subject}: cannot be seen: ${messageOf(error)}`);
    else if (chains > 0) present.push(`${subject}: ${chains} chains of penstock or kube-proxy`);
  }
  return present;
}

const HOST: HostView = {
  read: (path) => {
    try {
      return readFileSync(path, 'utf8').trim();
    } catch {
      return undefined;
    }
  },
  list: (path) => {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  },
  filterChain: async (family, chain) => {
    try {
      const { status, stdout } = await runCommand(family === 'IPv4' ? 'iptables' : 'ip6tables', [
        '-w',
        '-S',
        chain,
      ]);
      return status === 0 ? stdout : undefined;
    } catch {
      return undefined;
    }
  },
};

function print(report: Report): string {
  const { kernel, features, iptables, mode, present, findings } = report;
  const widest = Math.max(0, ...features.map(({ feature }) => feature.length));
  const purpose = Math.max(0, ...features.map(({ neededFor }) => neededFor.length));
  const lines = [`Kernel ${kernel}`, ''];
  if (features.length === 0) lines.push(`  Its features cannot be seen: ${mode.reason}`);
  for (const { feature, neededFor, kernelOption, found } of features) {
    const isThere = Object.values(found).every((text) => text === 'ok');
    const families = Object.entries(found).map(([family, text]) => `${family} ${text}`);
    lines.push(
      `  ${isThere ? 'ok     ' : 'MISSING'} ${feature.padEnd(widest)}  ${neededFor.padEnd(purpose)}  ${kernelOption}` +
        `${isThere ? '' : `\n          ${families.join(', ')}`}`,
    );
  }
  lines.push('');
  for (const [family, text] of Object.entries(iptables)) lines.push(`  iptables, ${family}: ${text}`);
  if (!mode.possible && !asRoot()) {
    lines.push('', 'Which mode is possible only root may ask: sudo penstock doctor');
  } else {
    lines.push('', `mode: "" means ${mode.name} here: ${mode.reason}`);
    if (!mode.possible) lines.push('No mode is possible on this host.');
  }
  lines.push('', ...(present.length === 0 ? ['Nothing of penstock is on this host.'] : ['On this host:']));
  append(
    lines,
    present.map((text) => `  ${text}`),
  );
  lines.push('', findings.length === 0 ? 'Nothing stands in the way.' : 'Worth a look:');
  for (const { text, remedy } of findings) lines.push(`  ${text}`, `    → ${remedy}`);
  return `${lines.join('\n')}\n`;
}
