/** What the agent tells as Events, sent to an API server over HTTP; and that deploy/ grants all it asks for, and no more. */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { systemClock } from '../../../src/time/Clock.js';
import { status } from '../../support/AgentProcess.js';
import { ClusterAgent } from '../../support/ClusterAgent.js';
import { FakeApiServer, type RawApiObject } from '../../support/FakeApiServer.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { type ServedApi, serveApi } from '../../support/serveApi.js';
import { shopObjects } from '../../support/shopObjects.js';
import { SERVICES, SLICES } from '../../support/sourceWorld.js';

const RBAC = fileURLToPath(fromRoot('deploy/base/rbac.yaml'));
const HEALTH_PORT = 32_100;
const EVENTS = '/apis/events.k8s.io/v1/namespaces';

interface SentEvent {
  readonly reason: string;
  readonly note: string;
}

function put(fake: FakeApiServer, name: string, clusterIP: string, rest: object = {}): void {
  const [service, slice] = shopObjects({ name, clusterIP, endpoints: ['10.2.0.1'], ...rest });
  fake.put(SERVICES, service as RawApiObject);
  fake.put(SLICES, slice as RawApiObject);
}

const metricsPage = async () => (await fetch('http://127.0.0.1:10249/metrics')).text();

const sent = ({ written }: ServedApi, reason: string) =>
  written.filter(({ method, body }) => method === 'POST' && (body as SentEvent).reason === reason);

if (await inNetns(import.meta.url)) {
  const endpoints = await serveOnLoopback(['10.2.0.1']);
  const squatter = createServer().listen(HEALTH_PORT, '0.0.0.0');
  t.teardown(() => {
    endpoints.close();
    squatter.close();
  });

  t.test('Events', async (t) => {
    const fake = new FakeApiServer(systemClock);
    const api = await serveApi(fake);
    t.teardown(() => api.close());
    fake.put('/api/v1/nodes', { metadata: { name: 'node1' } });
    put(fake, 'web', '172.30.0.1');
    await using agent = new ClusterAgent(api.url);
    t.ok(await eventually(async () => (await status('/readyz')) === 200), agent.output);
    const comes = async (reason: string) => {
      t.ok(await eventually(() => sent(api, reason).length > 0), `${reason} is sent`);
      t.equal(sent(api, reason).length, 1, 'once');
      return sent(api, reason)[0];
    };

    t.match(await comes('Starting'), {
      path: `${EVENTS}/default/events`,
      contentType: 'application/json',
      body: {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        type: 'Normal',
        action: 'StartKubeProxy',
        note: 'penstock serves Services in mode nftables',
        regarding: { apiVersion: 'v1', kind: 'Node', name: 'node1' },
        reportingController: 'penstock',
      },
    });

    put(fake, 'thief', '172.30.0.1');
    t.match(await comes('ServiceConflict'), {
      path: `${EVENTS}/shop/events`,
      body: {
        type: 'Warning',
        regarding: { kind: 'Service', namespace: 'shop' },
        note: /^node node1: .*172\.30\.0\.1/,
      },
    });

    fake.put(SERVICES, {
      metadata: { name: 'bad', namespace: 'shop' },
      spec: { ports: 'none' },
    } as RawApiObject);
    t.match(await comes('ObjectSetAside'), {
      body: {
        type: 'Warning',
        regarding: { kind: 'Service', namespace: 'shop', name: 'bad' },
        note: /spec\.ports/,
      },
    });

    put(fake, 'checked', '172.30.0.3', {
      spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: HEALTH_PORT },
    });
    t.match(await comes('FailedToStartServiceHealthcheck'), {
      body: {
        type: 'Warning',
        action: 'Listen',
        regarding: { kind: 'Service', namespace: 'shop', name: 'checked' },
        note: /health-check node port 32100 cannot be opened: .*EADDRINUSE/,
      },
    });

    shell('nft flush ruleset');
    t.match(await comes('ForeignChange'), {
      path: `${EVENTS}/default/events`,
      body: {
        type: 'Warning',
        regarding: { kind: 'Node', name: 'node1' },
        note: /^.*: nft: IPv4 table penstock was deleted/,
      },
    });
    t.ok(await eventually(async () => (await ask('172.30.0.1')) === '10.2.0.1'), 'repaired');
    shell('nft flush ruleset');
    t.ok(await eventually(async () => /^penstock_repairs_total 2$/m.test(await metricsPage())));
    await agent.end();
    t.ok(
      api.written.some(
        ({ method, contentType }) => method === 'PATCH' && contentType === 'application/merge-patch+json',
      ),
      'the same again: a series, whose count is sent at the end at the latest',
    );

    await t.test('the role of deploy/base grants what was asked for, and no more', async (t) => {
      const asked = new Set([
        ...fake.requests.map(({ path, query }) =>
          permission(query.get('watch') === 'true' ? 'watch' : 'list', path),
        ),
        ...api.written.map(({ method, path }) => permission(method === 'POST' ? 'create' : 'patch', path)),
      ]);
      // Lists are what servers without initial events are asked for.
      for (const { path } of fake.requests) asked.add(permission('list', path));
      t.same([...asked].sort(), granted());
    });
  });

  t.test('an agent that must have its ports, and has not', async (t) => {
    const api = await serveApi(new FakeApiServer(systemClock));
    t.teardown(() => api.close());
    const other = createServer().listen(10_249, '127.0.0.1');
    t.teardown(() => other.close());
    await using agent = new ClusterAgent(api.url, 'bindAddressHardFail: true\n');
    t.ok(
      await eventually(() =>
        /penstock run: metrics server: listen EADDRINUSE.*\n→ See who listens/.test(agent.output),
      ),
      agent.output,
    );
    t.notMatch(agent.output, /^ +at /m, 'no stack');
    t.match(sent(api, 'FailedToStartMetricServer')[0], {
      body: {
        type: 'Warning',
        action: 'StartKubeProxy',
        note: /^metrics server: .*EADDRINUSE/,
        regarding: { kind: 'Node' },
      },
    });
  });

  t.test('an API server that swallows everything does not hold up the end', async (t) => {
    // A neighbour that is known and not there.
    shell('ip neigh add 192.168.77.9 lladdr 02:00:00:00:00:09 dev out');
    await using agent = new ClusterAgent('http://192.168.77.9:6443');
    t.ok(await eventually(async () => (await status('/livez')) === 200), agent.output);
    const milliseconds = await agent.end();
    t.ok(milliseconds < 6000, `it took ${milliseconds.toFixed(0)} ms, 3 s of them for its Events`);
    t.match(agent.output, /stopped/);
  });
}

/** `list services`, `create events.events.k8s.io` */
function permission(verb: string, path: string): string {
  const [, group, resource] =
    /^\/(?:api\/v1|apis\/([^/]+)\/v1)(?:\/namespaces\/[^/]+)?\/(\w+)/.exec(path) ?? [];
  return `${verb} ${resource}${group ? `.${group}` : ''}`;
}

function granted(): string[] {
  const [role] = parseAllDocuments(readFileSync(RBAC, 'utf8')).map((document) => document.toJS()) as [
    { readonly rules: readonly Readonly<Record<'apiGroups' | 'resources' | 'verbs', readonly string[]>>[] },
  ];
  return role.rules
    .flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          verbs.map((verb) => `${verb} ${resource}${group ? `.${group}` : ''}`),
        ),
      ),
    )
    .sort();
}
