import type { AddressInfo } from 'node:net';
import t from 'tap';
import { type HealthState, startHealthServer } from '../../../../src/observe/http/HealthServer.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { ip } from '../../../support/builders.js';

const TIMEOUT_MS = 60_000;
const FINE: HealthState = {
  families: new Map([
    ['IPv6', { updated: Date.UTC(2026, 0, 2), pendingSince: undefined }],
    ['IPv4', { updated: Date.UTC(2026, 0, 1), pendingSince: undefined }],
  ]),
  ready: true,
  reason: '',
  nodeEligible: true,
  contacts: [],
};
const TOO_LONG = TIMEOUT_MS + 1;

/** IPv6 waits. */
function waiting(milliseconds: number): HealthState {
  const families = new Map(FINE.families);
  families.set('IPv6', { updated: Date.UTC(2026, 0, 2), pendingSince: Date.now() - milliseconds });
  return { ...FINE, families };
}

let state = FINE;
const answered: string[] = [];
const server = await startHealthServer({
  host: ip('127.0.0.1'),
  port: 0,
  timeoutMs: TIMEOUT_MS,
  clock: systemClock,
  state: () => state,
  onAnswer: (path, code) => answered.push(`${path} ${code}`),
});
t.teardown(() => server.close());

async function ask(path: string, method = 'GET'): Promise<{ status: number; body: Record<string, unknown> }> {
  const { port } = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
  t.match(response.headers.get('content-type'), path === '/nothing' ? /text/ : /application\/json/);
  const text = await response.text();
  return {
    status: response.status,
    body: path === '/nothing' ? {} : (JSON.parse(text) as Record<string, unknown>),
  };
}

const CASES: readonly [name: string, state: HealthState, readyz: number, livez: number, healthz: number][] = [
  ['all is well', FINE, 200, 200, 200],
  ['before the first sync', { ...FINE, ready: false, reason: 'waiting for manifests x' }, 503, 200, 200],
  ['a change waits, not long', waiting(0), 200, 200, 200],
  ['a change waits too long in one family', waiting(TOO_LONG), 200, 503, 503],
  ['the node is about to go', { ...FINE, nodeEligible: false }, 200, 200, 503],
];

for (const [name, given, readyz, livez, healthz] of CASES) {
  t.test(name, async (t) => {
    state = given;
    answered.length = 0;
    t.equal((await ask('/readyz')).status, readyz, '/readyz');
    t.equal((await ask('/livez')).status, livez, '/livez');
    t.equal((await ask('/healthz')).status, healthz, '/healthz');
    t.equal((await ask('/healthz', 'POST')).status, healthz, 'any method');
    t.strictSame(answered, [`/livez ${livez}`, `/healthz ${healthz}`, `/healthz ${healthz}`], 'counted');
  });
}

t.test('bodies are those of kube-proxy', async (t) => {
  state = { ...waiting(TOO_LONG), ready: false, reason: 'waiting for manifests x' };
  const { body } = await ask('/healthz');
  t.same(Object.keys(body), ['lastUpdated', 'currentTime', 'nodeEligible', 'healthy', 'status']);
  t.equal(body.lastUpdated, '2026-01-02T00:00:00Z', 'unhealthy: the newest of the families');
  t.strictSame(body.healthy, false);
  t.strictSame(
    body.status,
    {
      IPv4: { lastUpdated: '2026-01-01T00:00:00Z', healthy: true },
      IPv6: { lastUpdated: '2026-01-02T00:00:00Z', healthy: false },
    },
    'a family that is stuck is not hidden by one that works, nor the other way round',
  );
  t.notOk('nodeEligible' in (await ask('/livez')).body);
  t.same((await ask('/readyz')).body, { ready: false, reason: 'waiting for manifests x' });
  t.equal((await ask('/nothing')).status, 404);
});

t.test('a server that cannot accept for a while goes on', async (t) => {
  const emfile = Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' });
  t.doesNotThrow(() => {
    server.emit('error', emfile);
    server.emit('error', emfile);
  });
  state = FINE;
  t.equal((await ask('/livez')).status, 200);
});

t.test('an address that is taken is named', async (t) => {
  const { port } = server.address() as AddressInfo;
  const options = { host: ip('127.0.0.1'), port, timeoutMs: 1, clock: systemClock, state: () => FINE };
  await t.rejects(startHealthServer(options), { message: new RegExp(`EADDRINUSE.*127\\.0\\.0\\.1:${port}`) });
});

t.test('0.0.0.0 answers in both families, as kube-proxy', async (t) => {
  state = FINE;
  for (const host of ['0.0.0.0', '::']) {
    const both = await startHealthServer({
      host: ip(host),
      port: 0,
      timeoutMs: 1,
      clock: systemClock,
      state: () => FINE,
    });
    t.teardown(() => both.close());
    const { port, family } = both.address() as AddressInfo;
    if (family === 'IPv6') t.equal((await fetch(`http://[::1]:${port}/livez`)).status, 200, `${host} IPv6`);
    t.equal((await fetch(`http://127.0.0.1:${port}/livez`)).status, 200, `${host} IPv4`);
  }
});

t.test('/readyz says how it stands with the API server, and stays as it is', async (t) => {
  const fine = {
    resource: 'services',
    complete: true,
    connected: true,
    forMs: 60_000,
    silentForMs: 1000,
    reason: undefined,
    relists: 0,
    watchesEnded: 0,
    watchesFailed: 0,
  };
  const away = { ...fine, resource: 'nodes', connected: false, forMs: 3_600_000, reason: 'no answer' };
  state = { ...FINE, contacts: [fine, away, { ...fine, resource: 'servicecidrs', silentForMs: undefined }] };
  const { status, body } = await ask('/readyz');
  t.equal(status, 200);
  const { connected, resources } = body.apiServer as {
    connected: boolean;
    resources: Record<string, { since: string; lastContact?: string }>;
  };
  t.equal(connected, false, 'one of them is away');
  t.match(resources.nodes, { complete: true, connected: false, reason: 'no answer' });
  const age = Date.now() - Date.parse(resources.nodes?.since ?? '');
  t.ok(Math.abs(age - 3_600_000) < 5000, 'for an hour');
  t.same(Object.keys(resources.services ?? {}), ['complete', 'connected', 'since', 'lastContact']);
  t.notOk('lastContact' in (resources.servicecidrs ?? {}));
  for (const path of ['/healthz', '/livez']) {
    const answer = await ask(path);
    t.equal(answer.status, 200);
    t.notOk('apiServer' in answer.body, `${path} is as kube-proxy's`);
  }
});
