import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { IpFamily } from '../../src/net/ip.js';
import { type HealthState, startHealthServer } from '../../src/observe/HealthServer.js';

const TIMEOUT_MS = 60_000;
const UPDATED: ReadonlyMap<IpFamily, number> = new Map([
  ['IPv6', Date.UTC(2026, 0, 2)],
  ['IPv4', Date.UTC(2026, 0, 1)],
]);
const FINE: HealthState = {
  updated: UPDATED,
  pendingSince: undefined,
  ready: true,
  reason: '',
  nodeEligible: true,
  contacts: [],
};

let state = FINE;
const server = await startHealthServer({
  host: '127.0.0.1',
  port: 0,
  timeoutMs: TIMEOUT_MS,
  state: () => state,
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
  ['a change waits, not long', { ...FINE, pendingSince: Date.now() }, 200, 200, 200],
  ['a change waits too long', { ...FINE, pendingSince: Date.now() - TIMEOUT_MS - 1 }, 200, 503, 503],
  ['the node is about to go', { ...FINE, nodeEligible: false }, 200, 200, 503],
];

for (const [name, given, readyz, livez, healthz] of CASES) {
  t.test(name, async (t) => {
    state = given;
    t.equal((await ask('/readyz')).status, readyz, '/readyz');
    t.equal((await ask('/livez')).status, livez, '/livez');
    t.equal((await ask('/healthz')).status, healthz, '/healthz');
    t.equal((await ask('/healthz', 'POST')).status, healthz, 'any method');
  });
}

t.test('bodies are those of kube-proxy', async (t) => {
  state = { ...FINE, pendingSince: 1, ready: false, reason: 'waiting for manifests x' };
  const { body } = await ask('/healthz');
  t.same(Object.keys(body), ['lastUpdated', 'currentTime', 'nodeEligible', 'healthy', 'status']);
  t.equal(body.lastUpdated, '2026-01-02T00:00:00.000Z', 'unhealthy: the newest of the families');
  t.match(body.status, { IPv4: { lastUpdated: '2026-01-01T00:00:00.000Z', healthy: false } });
  t.notOk('nodeEligible' in (await ask('/livez')).body);
  t.same((await ask('/readyz')).body, { ready: false, reason: 'waiting for manifests x' });
  t.equal((await ask('/nothing')).status, 404);
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
