/** What the API server of tests and of scripts/compare serves, beside what a real one (1.36.2) was recorded with. */
import t from 'tap';
import { apiServerWith, service } from '../../../../bench/compare/asServed.js';
import type { RawApiObject } from '../../../support/FakeApiServer.js';
import { isSelected } from '../../../support/selectors.js';
import { needsShared, readShared } from '../../../support/shared.js';

const SERVICES = '/api/v1/services';

async function asked(
  path: string,
  api = apiServerWith(OBJECTS),
  lines = Number.POSITIVE_INFINITY,
): Promise<string> {
  const { body } = await api.get(path, new AbortController().signal);
  let text = '';
  for await (const chunk of body) {
    text += Buffer.from(chunk).toString();
    if (text.split('\n').length > lines) break;
  }
  return text;
}

const OBJECTS = [
  { kind: 'Node', metadata: { name: 'node1' } },
  {
    kind: 'Service',
    metadata: { namespace: 'a', name: 'b' },
    spec: { clusterIP: '10.96.0.1', sessionAffinity: 'ClientIP', ports: [{ port: 80 }] },
  },
  { kind: 'EndpointSlice', metadata: { namespace: 'a', name: 'b-1' }, endpoints: [{ nodeName: 'node1' }] },
];

t.test(
  'lists, objects and bookmarks say of what kind they are: clients in Go read nothing that does not',
  async (t) => {
    const list = JSON.parse(await asked(SERVICES));
    t.match(list, { kind: 'ServiceList', apiVersion: 'v1', items: [{ kind: 'Service', apiVersion: 'v1' }] });
    // kube-proxy takes that there is one for granted.
    t.match(list.items[0].spec, { sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } });
    t.match(JSON.parse(await asked('/api/v1/nodes/node1')), { kind: 'Node', apiVersion: 'v1' });
    t.match(JSON.parse(await asked('/api/v1/nodes/node2')), { kind: 'Status', status: 'Failure', code: 404 });
    const old = JSON.parse(await asked('/apis/discovery.k8s.io/v1beta1/endpointslices'));
    t.match(old, { kind: 'EndpointSliceList', apiVersion: 'discovery.k8s.io/v1beta1' });
    t.equal(old.items[0].endpoints[0].topology['kubernetes.io/hostname'], 'node1');
    for (const yes of ['true', '1']) {
      const words = `watch=${yes}&sendInitialEvents=true&timeoutSeconds=1`;
      const [added = '', bookmark = ''] = (await asked(`${SERVICES}?${words}`, undefined, 2)).split('\n');
      t.match(JSON.parse(added), { type: 'ADDED', object: { kind: 'Service', apiVersion: 'v1' } });
      t.match(JSON.parse(bookmark), { type: 'BOOKMARK', object: { kind: 'Service', apiVersion: 'v1' } });
    }
  },
);

t.test('selectors', async (t) => {
  const object = { metadata: { name: 'a', labels: { x: '1' } }, spec: { clusterIP: 'None' } } as RawApiObject;
  const cases: readonly [string, boolean][] = [
    ['labelSelector=x', true],
    ['labelSelector=!x', false],
    ['labelSelector=!y,!z', true],
    ['labelSelector=!y,!x', false],
    ['labelSelector=x=1', true],
    ['labelSelector=x==2', false],
    ['labelSelector=x!=2,y!=2', true],
    ['fieldSelector=metadata.name=a', true],
    ['fieldSelector=metadata.name=b', false],
    ['fieldSelector=spec.clusterIP!=None', false],
    ['', true],
  ];
  for (const [query, wanted] of cases) t.equal(isSelected(object, new URLSearchParams(query)), wanted, query);
});

t.test('defaults of Services are those of a real API server', needsShared, (t) => {
  const given: RawApiObject[] = JSON.parse(readShared('stock/golden/objects.json')).items;
  let compared = 0;
  for (let page = 1; page <= 9; page++) {
    const text = readShared(`stock/golden/apiserver/list-services-limit3-page${page}.http`);
    const line = text.split('\n').find((each) => each.startsWith('{"kind":"ServiceList"')) ?? '{"items":[]}';
    for (const stored of JSON.parse(line.replace(/\[curl rc \d+\]$/, '')).items) {
      const object = given.find(({ metadata }) => metadata.name === stored.metadata.name);
      if (!object) continue;
      const { spec } = service(object) as unknown as { readonly spec: Record<string, unknown> };
      for (const key of Object.keys(stored.spec)) {
        // Node ports are handed out; the wanted form of `ipFamilies` follows from the request.
        if (['ports', 'healthCheckNodePort', 'ipFamilyPolicy'].includes(key)) continue;
        t.same(spec[key], stored.spec[key], `${stored.metadata.name}: ${key}`);
      }
      compared++;
    }
  }
  t.ok(compared >= 20, `${compared} Services`);
  t.end();
});
