/** penstock sysdump: what somebody who helps needs to see, in one archive, without secrets and of bounded size. */
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname, release } from 'node:os';
import { resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parseRunCommand } from '../../../config/flags/parseRunCommand.js';
import { toNodeConfig } from '../../../config/NodeConfig.js';
import { readConfigFile } from '../../../config/readConfigText.js';
import { messageOf } from '../../../errors.js';
import { runCommand } from '../../../kernel/xtables/runCommand.js';
import { type IpAddress, joinHostPort } from '../../../net/ip.js';
import { readArguments, WrongCall } from '../../readArguments.js';
import { packageVersion } from '../../version.js';
import { AgentClient } from '../AgentClient.js';
import { readNote } from '../look.js';
import { print } from '../output.js';
import type { CalledAgent } from '../readModel.js';
import { redact } from './redact.js';
import { type TarFile, tar } from './tar.js';

export const HELP = `penstock sysdump [--file NAME]

Gathers what is needed to find a fault on this node in one archive (tar.gz):
what the agent says of itself, its Services, problems and failed connections,
its metrics and configuration, and the kernel's rules in every mode. Keys,
tokens and passwords are removed; environment variables are not looked at.
Needs root. CONTENTS.txt in the archive says what could not be read, and why.

  --file NAME            default: penstock-sysdump-NODE-TIME.tar.gz here

Exit status: 0; 1 something could not be read; 2 no archive could be written.
`;

/** Bytes of one file, and of all of them. */
const MOST_OF_A_FILE = 8 * 1024 * 1024;
const MOST = 48 * 1024 * 1024;
/** Milliseconds for one command, and for everything. */
const COMMAND_PATIENCE = 8000;
const PATIENCE = 25_000;

interface Source {
  readonly name: string;
  readonly read: () => Promise<string> | string;
}

export async function sysdump(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, { options: { file: { type: 'string' } } });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const { path, files, bytes, missing } = await writeSysdump(values.file);
  print([
    `${path}: ${files} files, ${Math.ceil(bytes / 1024)} KiB`,
    ...missing.map((line) => `not in it: ${line}`),
  ]);
  return missing.length === 0 ? 0 : 1;
}

interface Written {
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
  /** What could not be read, and why. */
  readonly missing: readonly string[];
}

/** Rejects with WrongCall where the file cannot be made; nothing that is there is overwritten. */
export async function writeSysdump(file: string | undefined): Promise<Written> {
  const now = new Date();
  const stamp = now.toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const agent = await AgentClient.find();
  const node = (agent?.status.node ?? readNote()?.node ?? hostname()).replaceAll(/[^\w.-]/g, '_');
  const path = file ?? `penstock-sysdump-${node}-${stamp}.tar.gz`;
  const { files, missing } = await gather(sources(agent), performance.now() + PATIENCE);
  const folder = `penstock-sysdump-${stamp}`;
  const listing = contents(files, missing, now);
  const all = [{ name: 'CONTENTS.txt', content: Buffer.from(listing) }, ...files];
  const archive = tar(
    all.map(({ name, content }) => ({ name: `${folder}/${name}`, content })),
    Math.floor(now.getTime() / 1000),
  );
  const packed = gzipSync(archive);
  try {
    // Nobody else may read it, and nothing that is there is overwritten.
    writeFileSync(path, packed, { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    throw new WrongCall(`${path}: ${messageOf(cause)}`, 'Name another file: --file NAME.');
  }
  return { path, files: all.length, bytes: packed.length, missing };
}

function sources(agent: AgentClient | undefined): readonly Source[] {
  const called = agent?.status ?? readNote();
  return [
    {
      name: 'version.json',
      read: () => json({ penstock: packageVersion(), kernel: release(), node: process.version }),
    },
    ...(agent
      ? [
          { name: 'agent/status.json', read: () => json(agent.status) },
          ...['services', 'endpoints', 'flows'].map((list) => ({
            name: `agent/${list}.json`,
            read: async () => json(await agent.list(`/v1/${list}`)),
          })),
          { name: 'agent/problems.json', read: async () => json(await agent.ask('/v1/problems')) },
        ]
      : [
          { name: 'agent/note.json', read: () => json(called ?? absent('no agent runs here, and none has')) },
        ]),
    ...configFiles(called?.arguments ?? []).map((path, i) => ({
      name: `config/${i}-${path.replaceAll(/[^\w.-]/g, '_').slice(-60)}`,
      read: () => readCalled(called, path),
    })),
    { name: 'agent/metrics.txt', read: () => metrics(called) },
    { name: 'kernel/diff.json', read: difference },
    command('kernel/nft.txt', 'nft', 'list', 'ruleset'),
    command('kernel/iptables-save.txt', 'iptables-save'),
    command('kernel/ip6tables-save.txt', 'ip6tables-save'),
    command('kernel/ipset.txt', 'ipset', 'save'),
    command('kernel/ipvsadm.txt', 'ipvsadm', '-Sn'),
    command('kernel/addresses.txt', 'ip', 'address'),
    command('kernel/routes.txt', 'ip', 'route', 'show', 'table', 'all'),
    command('kernel/rules.txt', 'ip', 'rule'),
    { name: 'kernel/netfilter.txt', read: sysctls },
    { name: 'kernel/queues.txt', read: queues },
  ];
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 1)}\n`;
}

function absent(why: string): never {
  throw new Error(why);
}

function configFiles(words: readonly string[]): string[] {
  return words.flatMap((word, i) => {
    const [, inline] = /^--config=(.+)$/.exec(word) ?? [];
    if (inline !== undefined) return [inline];
    const next = words[i + 1];
    return word === '--config' && next !== undefined ? [next] : [];
  });
}

function command(name: string, program: string, ...args: readonly string[]): Source {
  return {
    name,
    read: async () => {
      const { status, stdout, stderr } = await runCommand(program, args, { timeoutMs: COMMAND_PATIENCE });
      if (status !== 0)
        throw new Error(`${program} ended with ${status}: ${stderr.trim().split('\n')[0] ?? ''}`);
      return stdout;
    },
  };
}

/** As a child: what it needs is freed with it, and it cannot hold up the rest. */
async function difference(): Promise<string> {
  const [node = '', program = ''] = process.argv;
  const { status, stdout, stderr } = await runCommand(node, [program, 'diff', '-o', 'json'], {
    timeoutMs: COMMAND_PATIENCE,
  });
  if (status > 1) throw new Error(stderr.trim().split('\n')[0] ?? `status ${status}`);
  return stdout;
}

/** How an agent was called, as far as it matters for where its files and servers are. */
type Called = Pick<CalledAgent, 'arguments' | 'folder'> | undefined;

/** Paths of its command line are relative to where it was called. */
function readCalled(called: Called, path: string): string {
  return readConfigFile(resolve(called?.folder ?? '.', path));
}

async function metrics(called: Called): Promise<string> {
  const response = await fetch(metricsUrl(called), { signal: AbortSignal.timeout(3000) });
  if (!response.ok) throw new Error(`${metricsUrl(called)} answers ${response.status}`);
  return response.text();
}

/** Where its configuration has them; without one, where kube-proxy has them. */
function metricsUrl(called: Called): string {
  const words = (called?.arguments ?? []).filter((word) => word !== 'run');
  const run = parseRunCommand(words, { readFile: (path) => readCalled(called, path), hostname });
  if (run.type !== 'run') throw new TypeError('a call without --help and --version is one to run');
  const { host, port } = toNodeConfig(run.source, hostname()).metrics;
  const unspecified: Readonly<Record<string, IpAddress>> = {
    '0.0.0.0': '127.0.0.1' as IpAddress,
    '::': '::1' as IpAddress,
  };
  return `http://${joinHostPort(unspecified[host] ?? host, port)}/metrics`;
}

const SYSCTLS = [
  'net/netfilter/nf_conntrack_count',
  'net/netfilter/nf_conntrack_max',
  'net/ipv4/ip_forward',
  'net/ipv6/conf/all/forwarding',
  'net/ipv4/conf/all/rp_filter',
  'net/ipv4/conf/all/route_localnet',
  'net/ipv4/vs/conntrack',
] as const;

/** Of first packets, ours and others'. */
function queues(): string {
  try {
    return readFileSync('/proc/net/netfilter/nfnetlink_queue', 'utf8');
  } catch {
    return 'this kernel has none\n';
  }
}

function sysctls(): string {
  return SYSCTLS.map((name) => {
    try {
      return `${name.replaceAll('/', '.')} = ${readFileSync(`/proc/sys/${name}`, 'utf8').trim()}\n`;
    } catch {
      return `${name.replaceAll('/', '.')}: this kernel has none\n`;
    }
  }).join('');
}

interface Gathered {
  readonly files: readonly TarFile[];
  readonly missing: readonly string[];
}

async function gather(list: readonly Source[], deadline: number): Promise<Gathered> {
  const files: TarFile[] = [];
  const missing: string[] = [];
  let room = MOST;
  for (const { name, read } of list) {
    if (performance.now() > deadline) {
      missing.push(`${name}: no time was left`);
      continue;
    }
    try {
      const whole = Buffer.from(redact(await read()));
      const most = Math.min(MOST_OF_A_FILE, room);
      const content = whole.subarray(0, most);
      if (content.length < whole.length)
        missing.push(
          `${name}: the last ${whole.length - content.length} of ${whole.length} bytes, for their size`,
        );
      room -= content.length;
      files.push({ name, content });
    } catch (error) {
      missing.push(`${name}: ${redact(messageOf(error))}`);
    }
  }
  return { files, missing };
}

function contents(files: readonly TarFile[], missing: readonly string[], now: Date): string {
  return [
    `penstock ${packageVersion()} sysdump of ${now.toISOString()}`,
    'Keys, tokens and passwords were removed; environment variables were not looked at.',
    '',
    ...files.map(({ name, content }) => `${String(content.length).padStart(9)}  ${name}`),
    '',
    ...(missing.length === 0
      ? ['Everything could be read.']
      : ['Not in it:', ...missing.map((line) => `  ${line}`)]),
    '',
  ].join('\n');
}
