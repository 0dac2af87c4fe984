import t from 'tap';
import type { ApiObject } from '../../../src/objects/ApiObject.js';
import { parseObject } from '../../../src/objects/read/parseObject.js';
import { sameObject } from '../../../src/objects/sameObject.js';
import { nodeManifest, serviceCIDRManifest, serviceManifest, sliceManifest, verdict } from './samples.js';

function parse(raw: unknown): ApiObject {
  const result = parseObject(raw);
  if (result.type !== 'object') throw new Error(verdict(raw));
  return result.object;
}

t.test('changes of unused fields are no changes', async (t) => {
  const pairs = [
    [
      serviceManifest(),
      serviceManifest({ selector: { a: 'b' } }, { resourceVersion: '7', labels: { a: 'b' } }),
    ],
    [
      sliceManifest(),
      sliceManifest({ endpoints: [{ addresses: ['10.1.0.5'], nodeName: 'node1', zone: 'a' }] }),
    ],
    [
      nodeManifest(),
      nodeManifest({
        status: {
          conditions: [
            { type: 'Ready', status: 'True' },
            { type: 'DiskPressure', status: 'True' },
          ],
        },
      }),
    ],
    [serviceCIDRManifest(), serviceCIDRManifest(['10.96.0.0/12'], { labels: { a: 'b' } })],
  ];
  for (const [a, b] of pairs) t.ok(sameObject(parse(a), parse(b)));
});

t.test('changes of used fields are changes, both ways round', async (t) => {
  const pairs = [
    [serviceManifest(), serviceManifest({ type: 'NodePort' })],
    [serviceManifest(), serviceManifest({ clusterIP: '' })],
    [serviceManifest(), serviceManifest({ clusterIP: 'fd00::1' })],
    [serviceManifest(), serviceManifest({ externalIPs: ['192.0.2.1'] })],
    [serviceManifest(), serviceManifest({ sessionAffinity: 'ClientIP' })],
    [serviceManifest(), serviceManifest({}, { annotations: { 'penstock.io/a': 'b' } })],
    [
      serviceManifest({}, { annotations: { 'penstock.io/a': 'b' } }),
      serviceManifest({}, { annotations: { 'penstock.io/c': 'b' } }),
    ],
    [serviceManifest(), serviceManifest({ ports: [{ name: 'http', port: 81 }] })],
    [sliceManifest(), sliceManifest({ endpoints: [] })],
    [nodeManifest(), nodeManifest({ status: { conditions: [{ type: 'Ready', status: 'False' }] } })],
    [sliceManifest(), sliceManifest({ endpoints: [{ addresses: ['10.1.0.5'], nodeName: 'node2' }] })],
    [
      sliceManifest(),
      sliceManifest({
        endpoints: [{ addresses: ['10.1.0.5'], nodeName: 'node1', hints: { forZones: [{ name: 'a' }] } }],
      }),
    ],
    [nodeManifest(), nodeManifest({ spec: { podCIDR: '10.0.0.0/8' } })],
    [nodeManifest(), serviceManifest()],
    [serviceCIDRManifest(), serviceCIDRManifest(['10.96.0.0/16'])],
  ];
  for (const [a, b] of pairs) {
    t.notOk(sameObject(parse(a), parse(b)));
    t.notOk(sameObject(parse(b), parse(a)));
  }
});
