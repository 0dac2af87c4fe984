/** The first replica of a workload that has none, and of no other. */
import t from 'tap';
import { scaleWorkload } from '../../../../src/agent/wake/scaleWorkload.js';
import { FakeClock } from '../../../support/FakeClock.js';

interface Asked {
  readonly path: string;
  readonly body?: unknown;
}

/** Answers GET with `scale` (or a status), PATCH with `status`. */
function server(scale: unknown, status = 200) {
  const asked: Asked[] = [];
  const text = typeof scale === 'number' ? '' : JSON.stringify(scale);
  const api = {
    get: async (path: string) => {
      asked.push({ path });
      const body = (async function* () {
        yield Buffer.from(text);
      })();
      return { status: typeof scale === 'number' ? scale : 200, retryAfter: undefined, body };
    },
    send: async (_: 'POST' | 'PATCH', path: string, body: unknown) => {
      asked.push({ path, body });
      return status;
    },
  };
  return { asked, scale: scaleWorkload(api, new FakeClock()) };
}

const PATH = '/apis/apps/v1/namespaces/shop/deployments/web/scale';
const WEB = { kind: 'deployment', name: 'web' } as const;
const asleep = { metadata: { resourceVersion: '7' }, spec: { replicas: 0 } };

t.test('a workload without replicas gets one, unless it changed meanwhile', async (t) => {
  const { asked, scale } = server(asleep);
  t.equal(await scale('shop', WEB), undefined);
  t.strictSame(asked, [
    { path: PATH },
    { path: PATH, body: { metadata: { resourceVersion: '7' }, spec: { replicas: 1 } } },
  ]);
  t.equal(await server(asleep, 409).scale('shop', WEB), undefined, 'somebody was faster');
  t.equal(await server({ metadata: { resourceVersion: '7' }, spec: {} }).scale('shop', WEB), undefined);
});

t.test('a workload with replicas is left alone', async (t) => {
  const { asked, scale } = server({ ...asleep, spec: { replicas: 3 } });
  t.equal(await scale('shop', WEB), undefined);
  t.equal(asked.length, 1);
});

t.test('a StatefulSet', async (t) => {
  const { asked, scale } = server(asleep);
  await scale('shop', { kind: 'statefulset', name: 'db' });
  t.equal(asked[0]?.path, '/apis/apps/v1/namespaces/shop/statefulsets/db/scale');
});

t.test('why not', async (t) => {
  t.equal(await server(404).scale('shop', WEB), 'it is not there');
  t.match(await server(403).scale('shop', WEB), /the scale of deployment\/web cannot be read: .* 403/);
  t.equal(await server(asleep, 403).scale('shop', WEB), 'the API server answers 403');
  t.match(await server(asleep).scale('shop', { kind: 'unit', name: 'web.service' }), /has no replicas/);
  for (const odd of [
    'nonsense',
    { spec: { replicas: 0 } },
    { ...asleep, spec: { replicas: '0' } },
    { metadata: asleep.metadata },
  ]) {
    const { asked, scale } = server(odd);
    t.equal(await scale('shop', WEB), 'the API server answers with no Scale', JSON.stringify(odd));
    t.equal(asked.length, 1, 'nothing is written');
  }
  t.equal(await server(asleep, 500).scale('shop', WEB), 'the API server answers 500');
});
