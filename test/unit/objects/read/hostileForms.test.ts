/** Objects of the wildest form: nothing that comes in throws, and nothing recurses as deep as it is. */
import t from 'tap';
import { parseObject } from '../../../../src/objects/read/parseObject.js';
import { serviceManifest, sliceManifest, verdict, warningsOf } from '../samples.js';

const DEPTH = 100_000;
const lists = JSON.parse('['.repeat(DEPTH) + ']'.repeat(DEPTH)) as unknown;
const maps = JSON.parse(`${'{"ports":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}`) as unknown;
const mixed = JSON.parse(`${'[{"metadata":'.repeat(DEPTH)}1${'}]'.repeat(DEPTH)}`) as unknown;

t.test('nesting of 100,000 levels anywhere in an object that a person wrote', async (t) => {
  for (const [form, deep] of Object.entries({ lists, maps, mixed })) {
    for (const object of [
      { ...serviceManifest(), metadata: deep },
      { ...serviceManifest(), spec: deep },
      { ...serviceManifest(), status: deep },
      serviceManifest({ ports: deep }),
      serviceManifest({ ports: [deep] }),
      serviceManifest({ clusterIPs: deep, ipFamilies: [deep], externalIPs: [deep] }),
      serviceManifest({}, { annotations: deep, labels: { a: deep } }),
      serviceManifest({}, { name: deep, namespace: deep }),
      sliceManifest({ endpoints: deep }),
      sliceManifest({ endpoints: [{ addresses: deep, hints: deep, conditions: deep }] }),
    ])
      t.doesNotThrow(() => parseObject(object, { writtenBy: 'person' }), form);
    t.equal(parseObject(deep, { writtenBy: 'person' }).type, 'ignored');
  }
});

t.test('unknown fields are still found below lists, and not in lists of lists', async (t) => {
  const told = (ports: unknown) =>
    warningsOf(parseObject(serviceManifest({ ports }), { writtenBy: 'person' })).map(
      (text) => text.split(' ')[2],
    );
  t.same(told([{ port: 80, prot: 'TCP' }]), ['spec.ports[0].prot']);
  t.match(
    verdict(serviceManifest({ ports: [[{ prot: 1 }]] })),
    /spec\.ports\[0\] is a list, must be an object/,
  );
});

t.test('fields with names that every object of JavaScript has', async (t) => {
  const raw = JSON.parse(
    '{"apiVersion":"v1","kind":"Service","metadata":{"name":"constructor","namespace":"constructor","labels":{"__proto__":"a"}},' +
      '"spec":{"clusterIP":"10.96.0.1","ports":[{"port":80,"name":"constructor"}],"constructor":1,"__proto__":{"type":"LoadBalancer"}}}',
  ) as unknown;
  const result = parseObject(raw, { writtenBy: 'person' });
  t.equal(result.type, 'object');
  t.same(
    warningsOf(result).map((text) => text.replace(/;.*/, '')),
    ['constructor', '__proto__'].map(
      (name) => `Service constructor/constructor: spec.${name} is no field of kind Service and is ignored`,
    ),
  );
  t.equal(result.type === 'object' && result.object.kind === 'Service' && result.object.type, 'ClusterIP');
});
