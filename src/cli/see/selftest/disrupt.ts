/** Counts what breaks while the agent is restarted, upgraded, or changes its mode under traffic. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Mode } from '../../../explain/World.js';
import type { ServiceRow } from '../../../observe/admin/serviceRows.js';
import { MODES } from '../modelFlags.js';
import type { Target } from './dial.js';
import { NAMESPACE } from './objects.js';
import type { TestAgent } from './TestAgent.js';
import type { TrafficReport } from './Traffic.js';
import type { TestWorld } from './World.js';

export const DISRUPTIONS = ['restart', 'upgrade', 'mode'] as const;
export type Disruption = (typeof DISRUPTIONS)[number];

export interface DisruptionResult extends Omit<TrafficReport, 'type'> {
  readonly mode: Mode;
  /** `restart`, `restart after SIGKILL`, `upgrade`, `to mode iptables and back` */
  readonly disruption: string;
  readonly milliseconds: number;
}

const HELD = 10;
/** Milliseconds of traffic before and after. */
const MARGIN_MS = 500;

/** What can be done here: other modes are those that `usable` names. */
export async function disrupt(
  kind: Disruption,
  agent: TestAgent,
  world: TestWorld,
  usable: readonly Mode[],
): Promise<readonly DisruptionResult[]> {
  const results: DisruptionResult[] = [];
  for (const [name, act] of stepsOf(kind, agent, usable))
    results.push(await underTraffic(name, act, agent, world));
  return results;
}

type Step = readonly [string, () => Promise<void>];

function stepsOf(kind: Disruption, agent: TestAgent, usable: readonly Mode[]): readonly Step[] {
  const again = (signal: 'SIGTERM' | 'SIGKILL') => async () => {
    await agent.end(signal);
    await agent.start();
  };
  if (kind === 'restart')
    return [
      ['restart', again('SIGTERM')],
      ['restart after SIGKILL', again('SIGKILL')],
    ];
  if (kind === 'upgrade') return [['upgrade', () => agent.upgrade()]];
  const home = agent.mode;
  return MODES.filter((mode) => mode !== home && usable.includes(mode)).map((mode) => [
    `to mode ${mode} and back`,
    async () => {
      await agent.change(mode);
      await sleep(MARGIN_MS);
      await agent.change(home);
    },
  ]);
}

async function underTraffic(
  disruption: string,
  act: () => Promise<void>,
  agent: TestAgent,
  { pods, outside }: TestWorld,
): Promise<DisruptionResult> {
  const { mode } = agent;
  const rows = await (await agent.client()).list<ServiceRow>('/v1/services');
  const plain = rows.filter(({ service }) => service === `${NAMESPACE}/plain`);
  const targets = (host: (row: ServiceRow) => string | undefined) =>
    plain.flatMap((row): Target[] => {
      const address = host(row);
      const { protocol, port } = row;
      if (address === undefined || (protocol !== 'TCP' && protocol !== 'UDP')) return [];
      return [{ host: address, port, protocol }];
    });
  const clients = [
    { peer: pods[0], targets: targets(({ clusterIPs }) => clusterIPs[0]) },
    { peer: outside, targets: targets(({ loadBalancerIPs }) => loadBalancerIPs[0]) },
  ];
  for (const client of clients) await client.peer?.beginTraffic({ targets: client.targets, held: HELD });
  await sleep(MARGIN_MS);
  const began = performance.now();
  await act();
  const milliseconds = Math.round(performance.now() - began);
  await sleep(MARGIN_MS);
  const reports = await Promise.all(clients.map(({ peer }) => peer?.endTraffic()));
  const sum = (count: (report: TrafficReport) => number) =>
    reports.reduce((total, report) => total + (report ? count(report) : 0), 0);
  return {
    mode,
    disruption,
    milliseconds,
    connects: sum(({ connects }) => connects),
    failed: sum(({ failed }) => failed),
    held: sum(({ held }) => held),
    broken: sum(({ broken }) => broken),
    reasons: reports.flatMap((report) => report?.reasons ?? []),
  };
}
