/** The agent on a cluster: an API server over HTTP with faults, real connections, Events. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { systemClock } from '../../../src/time/Clock.js';
import { status } from '../../support/AgentProcess.js';
import { ClusterAgent } from '../../support/ClusterAgent.js';
import { FakeApiServer, type Fault, type RawApiObject } from '../../support/FakeApiServer.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PATHS, putNode, putObjects } from '../../support/putObjects.js';
import { serveApi } from '../../support/serveApi.js';
import { shopObjects } from '../../support/shopObjects.js';
import { parseMetrics, seriesValue } from '../../unit/observe/parseMetrics.js';

const PODS = ['10.2.0.1', '10.2.0.2'] as const;
const VIP = '172.30.0.1';
function put(fake: FakeApiServer, endpoints: readonly string[], name = 'web', clusterIP = VIP): void {
  putObjects(fake, shopObjects({ name, clusterIP, endpoints }));
}

const metricsPage = async () => (await fetch('http://127.0.0.1:10249/metrics')).text();

const reaches = (pod: string, vip = VIP) => eventually(async () => (await ask(vip)) === pod);

if (await inNetns(import.meta.url)) {
  const endpoints = await serveOnLoopback(PODS);
  t.teardown(() => endpoints.close());

  t.test('an agent and its API server', async (t) => {
    const fake = new FakeApiServer(systemClock);
    let api = await serveApi(fake);
    const port = Number(new URL(api.url).port);
    t.teardown(() => api.close());
    putNode(fake, 'node1');
    put(fake, [PODS[0]]);
    await using agent = new ClusterAgent(api.url);
    t.ok(await eventually(async () => (await status('/readyz')) === 200), 'ready');
    t.equal(await ask(VIP), PODS[0]);

    await t.test('its requests are counted', async (t) => {
      const page = parseMetrics(await metricsPage());
      const host = `127.0.0.1:${port}`;
      const answered = { code: '200', method: 'GET', host };
      t.ok((seriesValue(page, 'rest_client_requests_total', answered) ?? 0) >= 3, 'lists and watches');
      const posted = { verb: 'POST', host };
      t.ok(
        seriesValue(page, 'rest_client_request_size_bytes_sum', posted),
        'the Event that tells of its start',
      );
      t.ok(seriesValue(page, 'rest_client_request_duration_seconds_sum', posted));
    });

    await t.test('a changed endpoint', async (t) => {
      put(fake, [PODS[1]]);
      t.ok(await reaches(PODS[1]));
    });

    await t.test('a taint that announces the end of the node takes it out of load balancers', async (t) => {
      const spec = { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] };
      const metadata = { name: 'node1' };
      putObjects(fake, [{ kind: 'Node', apiVersion: 'v1', metadata, spec }]);
      t.ok(await eventually(async () => (await status('/healthz')) === 503));
      t.equal(await status('/livez'), 200);
      putObjects(fake, [{ kind: 'Node', apiVersion: 'v1', metadata }]);
      t.ok(await eventually(async () => (await status('/healthz')) === 200));
    });

    const faults: readonly Fault[] = [
      { type: 'status', status: 500 },
      { type: 'cut', after: 40 },
      { type: 'garbage' },
      { type: 'gone event' },
      { type: 'refuse' },
    ];
    for (const [i, fault] of faults.entries()) {
      await t.test(`connections break, and then: ${JSON.stringify(fault)}`, async (t) => {
        const pod = PODS[i % 2] as string;
        fake.faults = [fault];
        fake.breakConnections();
        const started = performance.now();
        put(fake, [pod]);
        t.ok(await reaches(pod));
        t.comment(`in force again after ${(performance.now() - started).toFixed(0)} ms`);
        fake.faults = [];
      });
    }

    await t.test('the API server is away: the rules stay, and the log says so', async (t) => {
      put(fake, [PODS[1]]);
      t.ok(await reaches(PODS[1]));
      await api.close();
      await sleep(4000);
      t.ok(await reaches(PODS[1]), 'still served');
      t.match(agent.output, /API server http:\S+: .*The rules stay as they are/);
      for (const path of ['/readyz', '/healthz', '/livez']) t.equal(await status(path), 200, path);
      const { apiServer } = (await (await fetch('http://127.0.0.1:10256/readyz')).json()) as {
        readonly apiServer: { readonly connected: boolean; readonly resources: object };
      };
      t.equal(apiServer.connected, false);
      t.match(apiServer.resources, {
        services: { complete: true, connected: false, reason: /ECONNREFUSED/ },
      });
      t.match(await metricsPage(), /^penstock_api_connected\{resource="services"\} 0$/m);
      put(fake, [PODS[0]], 'other', '172.30.0.2');
      api = await serveApi(fake, port);
      t.ok(await reaches(PODS[0], '172.30.0.2'), 'what came meanwhile is served');
      t.ok(await eventually(async () => /answers again, after \d+ s/.test(agent.output)));
      t.match(await metricsPage(), /^penstock_api_connected\{resource="services"\} 1$/m);
    });

    await t.test('objects that went while nobody looked are gone', async (t) => {
      fake.compact();
      fake.breakConnections();
      for (const path of Object.values(PATHS)) {
        for (const object of fake.objects(path))
          if (/other/.test(object.metadata.name)) fake.delete(path, object);
      }
      fake.compact();
      t.ok(await eventually(async () => (await ask('172.30.0.2', 80, 500)) !== PODS[0]));
      t.equal(await ask(VIP), PODS[1]);
    });

    await t.test('a bad object is set aside, with an Event', async (t) => {
      const [service] = shopObjects({ name: 'bad', clusterIP: '172.30.0.9', endpoints: [] }) as [
        RawApiObject,
      ];
      fake.put(PATHS.Service, {
        ...service,
        spec: { clusterIP: 5, ports: 'none' },
      } as unknown as RawApiObject);
      const events = () =>
        api.written.filter(({ body }) => (body as { reason: string }).reason === 'ObjectSetAside');
      t.ok(await eventually(async () => events().length === 1));
      t.match(events()[0], {
        method: 'POST',
        path: '/apis/events.k8s.io/v1/namespaces/shop/events',
        body: { type: 'Warning', regarding: { kind: 'Service', namespace: 'shop', name: 'bad' } },
      });
      t.equal(await ask(VIP), PODS[1]);
    });

    await t.test('a flush by somebody else is repaired, with an Event', async (t) => {
      shell('nft flush ruleset');
      t.ok(await reaches(PODS[1]));
      const repaired = () =>
        api.written.some(({ body }) => (body as { reason: string }).reason === 'ForeignChange');
      t.ok(await eventually(async () => repaired()));
    });
  });
}
