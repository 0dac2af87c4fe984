/** penstock status: how penstock does on this node. It tests: what an agent believes may not be so. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadBack } from '../../dataplane/ReadBack.js';
import { NodeLock } from '../../host/NodeLock.js';
import { adminSockets } from '../../kernel/host/stateFiles.js';
import { IP_FAMILIES, type IpAddress, joinHostPort } from '../../net/ip.js';
import { type AgentStatus, tableStatus } from '../../observe/admin/AgentStatus.js';
import { readArguments } from '../readArguments.js';
import { agentView, type Look, look, ruleFactsOf } from './look.js';
import { MODEL_FLAGS } from './modelFlags.js';
import { colour, field, formatOf, OUTPUT_FLAG, print, printJson } from './output.js';
import { queueTests } from './queueTests.js';

export const HELP = `penstock status [-o json]

Shows how penstock does on this node, and tests it: it asks the agent, makes
connections through VIPs of Services that have endpoints, and reads back from
the kernel what the objects ask for these.

Exit status: 0 healthy, 1 something is wrong, 2 could not look.
`;

export interface Test {
  readonly name: string;
  readonly passed: boolean;
  readonly says: string;
}

interface Status {
  readonly healthy: boolean;
  /** The worst thing, in one line; `healthy`. */
  readonly verdict: string;
  readonly agent: AgentStatus | null;
  readonly counts: AgentStatus['counts'];
  readonly withoutEndpoints: readonly string[];
  readonly conntrack: { readonly used: number; readonly limit: number } | null;
  readonly tests: readonly Test[];
}

/** How long a connection may take, in milliseconds. */
const PATIENCE_MS = 1000;
const FULL = 0.9;
/** How often the kernel is asked before it is said to lack something, and how long after each time, in milliseconds. */
const KERNEL_TRIES = 3;
const KERNEL_PAUSE_MS = 250;

export async function status(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, { options: { ...OUTPUT_FLAG, ...MODEL_FLAGS } });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const format = formatOf(values.output);
  const found = await look(values);
  const report = await statusOf(found);
  if (format === 'json') printJson(report);
  else print(statusText(report));
  return report.healthy ? 0 : 1;
}

async function statusOf(found: Look): Promise<Status> {
  const agent = found.from === 'agent' ? found.agent.status : null;
  const { counts, withoutEndpoints, samples } =
    agent ??
    (found.from === 'model'
      ? await tableStatus(found.model.table, found.model.config.mode)
      : await tableStatus(NO_TABLE, ''));
  const conntrack = readConntrack();
  const tests: Test[] = [agentTest(agent), ...(agent ? [readyTest(agent), ...sourceTests(agent)] : [])];
  // An agent of an older version does not say.
  const [connections, kernel, queues] = await Promise.all([
    connectionTests(samples ?? []),
    kernelTests(found, samples ?? []),
    queueTests(agent?.queues ?? []),
  ]);
  tests.push(...connections, ...kernel, ...queues);
  if (conntrack) {
    const passed = conntrack.used < conntrack.limit * FULL;
    const share = `${conntrack.used} of ${conntrack.limit} connections`;
    tests.push({ name: 'conntrack', passed, says: passed ? share : `${share}: new ones will be dropped` });
  }
  const failed = tests.find(({ passed }) => !passed);
  const healthy = failed === undefined && counts.withoutEndpoints === 0 && (agent?.problemCount ?? 0) === 0;
  return {
    healthy,
    verdict: failed ? `${failed.name}: ${failed.says}` : softVerdict(counts, agent),
    agent,
    counts,
    withoutEndpoints,
    conntrack,
    tests,
  };
}

const NO_TABLE = { servicePorts: () => new Map() };

function softVerdict(counts: AgentStatus['counts'], agent: AgentStatus | null): string {
  if (counts.withoutEndpoints > 0)
    return `${counts.withoutEndpoints} service ports have no endpoints: penstock services --problems`;
  const problems = agent?.problemCount ?? 0;
  return problems > 0 ? `${problems} objects are set aside or in conflict: see "set aside"` : 'healthy';
}

function agentTest(agent: AgentStatus | null): Test {
  if (agent) return { name: 'agent', passed: true, says: `answers, process ${agent.pid}` };
  const holder = NodeLock.holder();
  if (holder !== undefined)
    return { name: 'agent', passed: false, says: `${holder.description} does not answer` };
  const [path] = adminSockets();
  return {
    name: 'agent',
    passed: false,
    says: `does not run (${path} does not answer); rules in the kernel go on as they are`,
  };
}

function readyTest({ ready, waitingFor }: AgentStatus): Test {
  return {
    name: 'synced',
    passed: ready,
    says: ready ? 'the kernel has what the objects ask for' : waitingFor,
  };
}

function sourceTests({ sources }: AgentStatus): readonly Test[] {
  const lost = sources.find(({ connected }) => !connected);
  if (sources.length === 0) return [];
  return [
    lost
      ? { name: 'API server', passed: false, says: `${lost.resource}: ${lost.reason || 'no contact'}` }
      : { name: 'API server', passed: true, says: 'in contact' },
  ];
}

async function connectionTests(samples: AgentStatus['samples']): Promise<readonly Test[]> {
  return Promise.all(
    samples.map(async ({ service, address, port }) => {
      const failure = await connectTo(address, port);
      const vip = joinHostPort(address as IpAddress, port);
      const to = `${service} (${vip})`;
      return failure === undefined
        ? { name: 'connection', passed: true, says: `${to} answers` }
        : {
            name: 'connection',
            passed: false,
            says: `${to} ${failure} although it has endpoints (penstock explain node ${vip} --live shows where it ends)`,
          };
    }),
  );
}

/** What the objects ask for some Services is read back: connections of this node do not come by all of it. */
async function kernelTests(found: Look, samples: AgentStatus['samples']): Promise<readonly Test[]> {
  const services = [...new Set(samples.map(({ service }) => service))];
  const isAgents = found.from === 'agent';
  // Rules of somebody else's agent, or of another proxy, are not to be held against these objects.
  const isOwn = isAgents ? found.agent.status.departure !== 'left' : found.agentIsGone;
  if (services.length === 0 || !isOwn) return [];
  for (let tries = 1; ; tries++) {
    const read = await readServices(found, services);
    if (read === undefined) return [];
    const passed = read.wrong === '';
    const asked = services.length === 1 ? 'a Service asks' : `${services.length} Services ask`;
    // Between the question to the agent and that to the kernel, an endpoint may have come or gone.
    if (passed || tries === KERNEL_TRIES)
      return [
        {
          name: 'kernel',
          passed,
          says: passed ? `has what ${asked} for: ${read.asked} read back` : read.wrong,
        },
      ];
    await sleep(KERNEL_PAUSE_MS);
  }
}

async function readServices(found: Look, services: readonly string[]): Promise<ReadBack | undefined> {
  const isAgents = found.from === 'agent';
  const view = isAgents ? await agentView(found.agent, services) : found.model.table;
  const ports = IP_FAMILIES.flatMap((family) =>
    [...view.servicePorts(family).values()].filter(
      (port) => services.includes(`${port.namespace}/${port.service}`) && port.endpoints.any,
    ),
  );
  const mode = isAgents ? found.agent.status.mode : found.model.config.mode;
  const { readBack } = await import('../../modes/reading/readBack.js');
  return readBack(mode, ports, ruleFactsOf(found));
}

/** Undefined when it was accepted. */
export function connectTo(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (failure?: string) => {
      socket.destroy();
      resolve(failure);
    };
    socket.setTimeout(PATIENCE_MS, () => end('does not answer'));
    socket.once('connect', () => end());
    socket.once('error', ({ code }: NodeJS.ErrnoException) => end(FAILURES[code ?? ''] ?? `fails (${code})`));
  });
}

const FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses',
  ENETUNREACH: 'cannot be tried: this node has no route to the address (a default route will do),',
  EHOSTUNREACH: 'is not reached: the route to it, or to its endpoints, leads nowhere,',
};

function readConntrack(): Status['conntrack'] {
  const read = (name: string) => Number(readFileSync(`/proc/sys/net/netfilter/${name}`, 'utf8'));
  try {
    return { used: read('nf_conntrack_count'), limit: read('nf_conntrack_max') };
  } catch {
    return null;
  }
}

function statusText(report: Status): string[] {
  const { agent, counts, tests } = report;
  const seconds = agent ? Math.round((Date.now() - agent.startedAt) / 1000) : 0;
  const mebibytes = agent ? Math.round(agent.residentMemory / 1024 / 1024) : 0;
  return [
    ...(agent
      ? [
          ...field(
            'penstock',
            `${agent.version} on node ${agent.node}, up ${duration(seconds)}, ${mebibytes} MiB`,
          ),
          ...field('mode', `${agent.mode}: ${agent.description}`),
        ]
      : []),
    ...field(
      'serves',
      `${counts.services} Services, ${counts.servicePorts} ports, ${counts.endpoints} endpoints; ` +
        `${counts.withoutEndpoints} ports without endpoints, ${counts.withoutLocalEndpoints} without local ones` +
        (counts.asleep > 0 ? `, ${counts.asleep} asleep` : ''),
    ),
    ...report.withoutEndpoints.flatMap((key, i) => field(i === 0 ? 'without' : '', key)),
    ...tests.flatMap(({ name, passed, says }) => field(name, `${passed ? '' : 'FAILED: '}${says}`)),
    ...(agent?.problems ?? [])
      .slice(0, 10)
      .flatMap(({ subject, message }, i) => field(i === 0 ? 'set aside' : '', `${subject}: ${message}`)),
    '',
    colour(report.healthy ? 'green' : 'red', report.verdict),
  ];
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
