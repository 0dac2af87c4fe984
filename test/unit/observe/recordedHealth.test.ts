/**
 * The health server and the health-check node ports answer as stock kube-proxy 1.36.2 was recorded to, in the same
 * states: status, headers and body, byte by byte but for the times.
 *
 * Ours beside it: /readyz; the header Connection, which Go leaves out.
 */

import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { HealthCheckPorts } from '../../../src/observe/http/HealthCheckPorts.js';
import { type HealthState, startHealthServer } from '../../../src/observe/http/HealthServer.js';
import { healthChecks } from '../../../src/routing/HealthChecks.js';
import { systemClock } from '../../../src/time/Clock.js';
import { ip } from '../../support/builders.js';
import { goldenObjects, goldenTable, remove } from '../../support/goldenTable.js';
import { type Answer, ask, recordedAnswer } from '../../support/recordedAnswer.js';
import { needsShared } from '../../support/shared.js';

/** RFC 3339 as Go's time.RFC3339Nano has it: a fraction never ends in 0. */
const TIME = /"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{0,8}[1-9])?Z"/g;
/** Not the product's: the day of the recording, and how the connection goes on. */
const OF_THE_CONNECTION = new Set(['date', 'content-length']);
/** Of our own, on loopback, so that no other test listens there. */
const HERE = ip('127.0.78.1');

function sameAnswer(t: Test, ours: Answer, name: string): void {
  const stock = recordedAnswer(name);
  if (stock === undefined) throw new Error(`${name} has no answer`);
  t.equal(ours.status, stock.status, `${name}: status`);
  for (const [header, value] of stock.headers) {
    if (!OF_THE_CONNECTION.has(header)) t.equal(ours.headers.get(header), value, `${name}: ${header}`);
  }
  t.equal(ours.body.replaceAll(TIME, '<time>'), stock.body.replaceAll(TIME, '<time>'), `${name}: body`);
  t.equal(ours.headers.has('content-length'), stock.headers.has('content-length'), `${name}: its length`);
  const added = [...ours.headers.keys()].filter((header) => !stock.headers.has(header));
  t.strictSame(added, ['connection'], `${name}: headers of ours`);
}

/** A time in the body relative to another. */
function times({ body }: Answer): { lastUpdated: number; currentTime: number; newest: number } {
  const { lastUpdated, currentTime, status } = JSON.parse(body) as {
    lastUpdated: string;
    currentTime: string;
    status: Record<string, { lastUpdated: string }>;
  };
  const newest = Math.max(...Object.values(status).map((family) => Date.parse(family.lastUpdated)));
  return { lastUpdated: Date.parse(lastUpdated), currentTime: Date.parse(currentTime), newest };
}

const SYNCED: HealthState = {
  families: new Map([
    ['IPv4', { updated: Date.now() - 4000.123, pendingSince: undefined }],
    ['IPv6', { updated: Date.now() - 2000.456, pendingSince: undefined }],
  ]),
  ready: true,
  reason: '',
  nodeEligible: true,
  contacts: [],
};
const TAINTED: HealthState = { ...SYNCED, nodeEligible: false };

t.test('the health server', needsShared, async (t) => {
  let state = SYNCED;
  const server = await startHealthServer({
    host: HERE,
    port: 0,
    timeoutMs: 60_000,
    clock: systemClock,
    state: () => state,
  });
  t.teardown(() => server.close());
  const url = `http://${HERE}:${(server.address() as AddressInfo).port}`;
  for (const mode of ['iptables', 'nftables', 'ipvs']) {
    state = SYNCED;
    sameAnswer(t, await ask(`${url}/healthz`), `${mode}/healthz`);
    sameAnswer(t, await ask(`${url}/livez`), `${mode}/livez`);
    // Not recorded there.
    if (mode === 'ipvs') continue;
    sameAnswer(t, await ask(`${url}/healthz`, 'POST'), `${mode}/healthz-POST`);
    sameAnswer(t, await ask(`${url}/nothing`), `${mode}/healthz-404`);
    state = TAINTED;
    sameAnswer(t, await ask(`${url}/healthz`), `${mode}/tainted-healthz`);
    sameAnswer(t, await ask(`${url}/livez`), `${mode}/tainted-livez`);
  }
  // What "last updated" is: now in a 200, the newest of the families in a 503.
  for (const [name, path, given] of [
    ['healthz', '/healthz', SYNCED],
    ['tainted-healthz', '/healthz', TAINTED],
    ['tainted-livez', '/livez', TAINTED],
  ] as const) {
    state = given;
    const isNow = (answer: Answer) => {
      const { lastUpdated, currentTime, newest } = times(answer);
      return Math.abs(lastUpdated - currentTime) <= 2 ? 'now' : lastUpdated === newest ? 'newest' : 'wrong';
    };
    const stock = recordedAnswer(`iptables/${name}`) as Answer;
    t.equal(isNow(await ask(url + path)), isNow(stock), `${name}: last updated`);
  }
});

t.test('the health-check node ports', needsShared, async (t) => {
  const ports = new HealthCheckPorts(() => true);
  t.teardown(() => ports.close());
  const table = goldenTable();
  const update = async () => {
    const checks = healthChecks(table.servicePorts('IPv4').values());
    t.strictSame(await ports.update(checks, [HERE]), [], 'every port could be opened');
  };
  table.commit();
  await update();
  const urlOf = (port: number) => `http://${HERE}:${port}/`;
  for (const mode of ['iptables', 'nftables', 'ipvs']) {
    sameAnswer(t, await ask(urlOf(32500)), `${mode}/hc-32500-local`);
    sameAnswer(t, await ask(urlOf(32600)), `${mode}/hc-32600-none`);
    if (mode === 'ipvs') continue;
    sameAnswer(t, await ask(urlOf(32500), 'HEAD'), `${mode}/hc-32500-HEAD`);
    sameAnswer(t, await ask(urlOf(32500), 'POST'), `${mode}/hc-32500-POST`);
    sameAnswer(t, await ask(urlOf(32700)), `${mode}/hc-32700`);
    // A node that is about to go still serves its endpoints.
    sameAnswer(t, await ask(urlOf(32500)), `${mode}/tainted-hc-32500`);
  }
  const v6 = healthChecks(table.servicePorts('IPv6').values());
  t.notOk(
    recordedAnswer('iptables/hc-32500-v6'),
    'stock does not listen over IPv6 for a Service without IPv6',
  );
  t.notOk(
    [...v6.values()].some(({ port }) => port === 32500),
    'nor do we',
  );

  const slice = goldenObjects().find(({ metadata }) => metadata.name === 's05-lb-etp-local-a');
  if (slice === undefined) throw new Error('the slice of s05 is not recorded');
  table.apply([remove(slice)]);
  table.commit();
  await update();
  for (const mode of ['iptables', 'nftables', 'ipvs']) {
    sameAnswer(t, await ask(urlOf(32500)), `${mode}/after-3-hc-32500`);
  }
});
