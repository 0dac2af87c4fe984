/** The agent with a dataplane that only takes notes. */
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import t, { type Test } from 'tap';
import { Agent, type AgentOptions } from '../../src/agent/Agent.js';
import type { Dataplane, FamilyReport, SyncReport } from '../../src/dataplane/Dataplane.js';
import type { ObjectSource, SourceListener } from '../../src/kubernetes/ObjectSource.js';
import type { IpFamily } from '../../src/net/ip.js';
import { AgentMetrics } from '../../src/observe/AgentMetrics.js';
import { EventRecorder } from '../../src/observe/events/EventRecorder.js';
import { RoutingTable } from '../../src/routing/RoutingTable.js';
import { runFile } from '../config/runCommand.js';
import { parseMetrics, seriesValue } from '../observe/parseMetrics.js';
import { endpoint, ip, node, service, slice, upsert } from '../support/builders.js';
import { eventually } from '../support/iptables.js';
import { ask } from '../support/recordedAnswer.js';

const HEALTH = 'http://127.0.79.1:10256';
const METRICS = 'http://127.0.79.1:10249/metrics';
const HEALTH_CHECK = 'http://127.0.79.1:32123/';

const report = (family: IpFamily): FamilyReport => ({
  family,
  kind: 'full',
  written: 1,
  transactions: 1,
  kernelMs: 1,
  totalMs: 2,
});

class NotingDataplane implements Dataplane {
  readonly description = 'none';
  readonly families: readonly IpFamily[] = ['IPv4', 'IPv6'];
  onFamilyFailed: Dataplane['onFamilyFailed'];
  onFamilySynced: Dataplane['onFamilySynced'];
  /** Families that cannot be synced. */
  broken: readonly IpFamily[] = [];
  syncs = 0;

  async sync(): Promise<SyncReport> {
    this.syncs++;
    for (const family of this.broken) this.onFamilyFailed?.(family);
    const reports = this.families.filter((family) => !this.broken.includes(family)).map(report);
    if (this.broken.length === 0) return { families: reports, problems: [] };
    for (const each of reports) this.onFamilySynced?.(each);
    throw new Error('the kernel says no');
  }

  async verify(): Promise<string | undefined> {
    return undefined;
  }

  async close(): Promise<void> {}
}

function world(
  options: Partial<AgentOptions> & { readonly text?: string; readonly broken?: IpFamily[] } = {},
) {
  const { config } = runFile(
    options.text ??
      'mode: nftables\nhealthzBindAddress: 127.0.79.1:10256\nmetricsBindAddress: 127.0.79.1:10249\n' +
        'nodePortAddresses: [127.0.79.1/32]\nnftables: {syncPeriod: 1s}',
  );
  const dataplane = new NotingDataplane();
  dataplane.broken = options.broken ?? [];
  let listener: SourceListener | undefined;
  const source: ObjectSource = {
    name: 'the source',
    start: async (given) => {
      listener = given;
    },
    stop: async () => {},
  };
  const table = new RoutingTable({
    nodeName: 'node1',
    serviceProxyName: '',
    fallbackAddresses: {},
    fixedAddresses: {},
  });
  const agent = new Agent({
    config,
    sources: [source],
    table,
    dataplane,
    connections: { take: () => {}, clean: async () => {}, stop: async () => {} },
    metrics: new AgentMetrics(),
    pages: new Map(),
    events: new EventRecorder({ hostname: 'host1', request: undefined, onFailure: () => {} }),
    hostAddresses: () => [ip('127.0.79.1')],
    afterFirstSync: async () => {},
    log: pino({ level: 'silent' }),
    ...options,
  });
  const tell = (): SourceListener => {
    if (listener === undefined) throw new Error('not started');
    return listener;
  };
  return { agent, dataplane, tell };
}

async function running(
  t: Test,
  options: Parameters<typeof world>[0] = {},
): Promise<ReturnType<typeof world>> {
  const made = world(options);
  await made.agent.start();
  t.teardown(() => made.agent.stop());
  return made;
}

/** Whether each family is healthy. */
function familiesOf(body: string): Record<string, boolean> {
  const { status } = JSON.parse(body) as { status: Record<string, { healthy: boolean }> };
  return Object.fromEntries(Object.entries(status).map(([family, { healthy }]) => [family, healthy]));
}

/** Of an answer; undefined while nobody listens. */
const statusOf = (url: string) =>
  ask(url).then(
    ({ status }) => status,
    () => undefined,
  );

const SERVED = [
  upsert(node({ name: 'node1' })),
  upsert(
    service({
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 32123,
    }),
  ),
  upsert(slice([endpoint('10.1.0.1', { nodeName: 'node1' })])),
];

t.test('stopped while the rules are verified, it waits for that and verifies no more', async (t) => {
  let verifications = 0;
  let closed = false;
  const { agent } = world({
    text: 'mode: nftables\npenstock: {verifyPeriod: 10ms}\nhealthzBindAddress: 127.0.79.1:10256\nmetricsBindAddress: 127.0.79.1:10249',
    sources: [],
    dataplane: {
      description: 'none',
      families: ['IPv4'],
      sync: async () => ({ families: [], problems: [] }),
      verify: async () => {
        verifications++;
        t.notOk(closed, 'the kernel is still open to it');
        await sleep(100);
        return undefined;
      },
      close: async () => {
        closed = true;
      },
    },
  });
  await agent.start();
  agent.hostChanged();
  while (verifications === 0) await sleep(5);
  await agent.stop();
  t.ok(closed);
  await sleep(150);
  t.equal(verifications, 1);
});

t.test(
  'before the first sync: alive in every family, not ready, however long the sources take',
  async (t) => {
    const { tell, dataplane } = await running(t);
    tell().changes(SERVED);
    // Twice the sync period, and what it was late.
    await sleep(2200);
    const { status, body } = await ask(`${HEALTH}/livez`);
    t.equal(status, 200, 'changes that nobody may write yet are not late');
    t.strictSame(familiesOf(body), { IPv4: true, IPv6: true });
    t.equal(await statusOf(`${HEALTH}/readyz`), 503);
    t.equal(dataplane.syncs, 0);
  },
);

t.test('a family that cannot be synced is told from the other, which works on', async (t) => {
  const { tell } = await running(t, { broken: ['IPv6'] });
  tell().changes(SERVED);
  tell().complete();
  t.ok(await eventually(async () => (await statusOf(HEALTH_CHECK)) === 200), 'its health-check port is open');
  t.ok(await eventually(async () => (await statusOf(`${HEALTH}/livez`)) === 503), 'a change is late');
  const { body } = await ask(`${HEALTH}/livez`);
  t.strictSame(familiesOf(body), { IPv4: true, IPv6: false });
  t.equal(await statusOf(HEALTH_CHECK), 503, 'load balancers are to avoid this node');
  const page = parseMetrics((await ask(METRICS)).body);
  const last = 'kubeproxy_sync_proxy_rules_last_timestamp_seconds';
  t.ok(seriesValue(page, last, { ip_family: 'IPv4' }), 'the syncs of the other are measured');
  t.equal(seriesValue(page, last, { ip_family: 'IPv6' }), undefined);
});

t.test('a sync that fails once loses no health-check node port', async (t) => {
  const { tell, dataplane } = await running(t, { broken: ['IPv4', 'IPv6'] });
  tell().changes(SERVED);
  tell().complete();
  while (dataplane.syncs === 0) await sleep(5);
  dataplane.broken = [];
  t.ok(await eventually(async () => (await statusOf(HEALTH_CHECK)) === 200));
});
