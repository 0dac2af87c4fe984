/** The agent with a dataplane that only takes notes. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { agentWorld, HOST, NotingDataplane, runningAgent } from '../../support/agentWorld.js';
import { endpoint, node, service, slice, upsert } from '../../support/builders.js';
import { FakeClock } from '../../support/FakeClock.js';
import { eventually } from '../../support/iptables.js';
import { ask } from '../../support/recordedAnswer.js';
import { parseMetrics, seriesValue } from '../observe/parseMetrics.js';

const HEALTH = `http://${HOST}:10256`;
const METRICS = `http://${HOST}:10249/metrics`;
const HEALTH_CHECK = `http://${HOST}:32123/`;
const CONFIG =
  `mode: nftables\nhealthzBindAddress: ${HOST}:10256\nmetricsBindAddress: ${HOST}:10249\n` +
  `nodePortAddresses: [${HOST}/32]\n`;
/** Changes are late after two seconds. */
const HASTY = `${CONFIG}nftables: {syncPeriod: 1s}`;

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

t.test('what was set aside is tried again though nothing changes', async (t) => {
  const clock = new FakeClock();
  let syncs = 0;
  const { agent, tell } = agentWorld({
    text: CONFIG,
    clock,
    dataplane: {
      description: 'none',
      families: ['IPv4'],
      sync: async () => ({
        families: [],
        problems: syncs++ === 0 ? [{ subject: 'Service shop/cart', message: 'was refused' }] : [],
      }),
      requireFull: () => {},
      verify: async () => undefined,
      close: async () => {},
    },
  });
  t.teardown(() => agent.stop());
  await agent.start();
  tell().complete();
  await clock.pass(1000);
  t.equal(syncs, 1);
  await clock.pass(31_000);
  t.equal(syncs, 2, 'after the sync period');
  await clock.pass(600_000);
  t.equal(syncs, 2, 'and no more once nothing is set aside');
});

t.test('repairs held while the rules are verified: what this finds waits', async (t) => {
  let syncs = 0;
  let verifications = 0;
  let found: (wrong: string | undefined) => void = () => {};
  const { agent, tell } = agentWorld({
    text: `${CONFIG}penstock: {verifyPeriod: 10ms}`,
    dataplane: {
      description: 'none',
      families: ['IPv4'],
      sync: async () => {
        syncs++;
        return { families: [], problems: [] };
      },
      requireFull: () => {},
      verify: () => {
        verifications++;
        return new Promise((resolve) => {
          found = resolve;
        });
      },
      close: async () => {},
    },
  });
  t.teardown(async () => {
    found('');
    await agent.stop();
  });
  await agent.start();
  tell().complete();
  t.ok(await eventually(() => verifications === 1));
  const before = syncs;
  agent.holdRepairs(true);
  found('the mark of whoever asked');
  await sleep(100);
  agent.foreignChange('the other proxy wrote a chain');
  await sleep(100);
  t.equal(syncs, before, 'nor is what the kernel tells of');
  t.equal(verifications, 1);
  // What the dataplane has found it looks for no more, so it must be asked to look (simulation, mode ipvs, seed 3290).
  agent.holdRepairs(false);
  const isSynced = (times: number, wrong: string | undefined) =>
    eventually(() => {
      // A sync waits for the verification that is under way.
      found(wrong);
      return syncs >= before + times;
    });
  t.ok(await isSynced(1, undefined), 'held no longer, what was found meanwhile is looked at');
  t.ok(await isSynced(2, 'a change of a stranger'), 'and repaired as before');
});

t.test('stopped while the rules are verified, it waits for that and verifies no more', async (t) => {
  let verifications = 0;
  let ended = 0;
  const { agent } = agentWorld({
    text: `${CONFIG}penstock: {verifyPeriod: 10ms}`,
    sources: [],
    dataplane: {
      description: 'none',
      families: ['IPv4'],
      sync: async () => ({ families: [], problems: [] }),
      requireFull: () => {},
      verify: async () => {
        verifications++;
        await sleep(100);
        ended++;
        return undefined;
      },
      close: async () => {},
    },
  });
  await agent.start();
  agent.hostChanged();
  while (verifications === 0) await sleep(5);
  await agent.stop();
  t.equal(ended, 1);
  await sleep(150);
  t.equal(verifications, 1);
});

t.test(
  'before the first sync: alive in every family, not ready, however long the sources take',
  async (t) => {
    const dataplane = new NotingDataplane();
    const { tell } = await runningAgent(t, { text: HASTY, dataplane });
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
  const dataplane = new NotingDataplane();
  dataplane.broken = ['IPv6'];
  const { tell } = await runningAgent(t, { text: HASTY, dataplane });
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
  const dataplane = new NotingDataplane();
  const { tell } = await runningAgent(t, { text: HASTY, dataplane });
  tell().complete();
  t.ok(await eventually(async () => (await statusOf(`${HEALTH}/readyz`)) === 200));
  dataplane.broken = ['IPv4', 'IPv6'];
  tell().changes(SERVED);
  while (dataplane.syncs < 2) await sleep(5);
  dataplane.broken = [];
  t.ok(await eventually(async () => (await statusOf(HEALTH_CHECK)) === 200));
});

t.test('once an hour everything is looked at, whether changes come or not', async (t) => {
  const clock = new FakeClock();
  const dataplane = new NotingDataplane();
  const { tell } = await runningAgent(t, { text: CONFIG, dataplane, clock });
  tell().complete();
  await clock.pass(1000);
  t.same([dataplane.syncs, dataplane.lookedAt], [1, 1]);
  for (let minute = 0; minute < 60; minute++) {
    tell().changes(SERVED);
    await clock.pass(60_000);
  }
  t.equal(dataplane.lookedAt, 1);
  tell().changes(SERVED);
  await clock.pass(60_000);
  t.equal(dataplane.lookedAt, 2, 'though changes came all the time');
  await clock.pass(3_700_000);
  t.equal(dataplane.lookedAt, 3, 'though none came');
});
