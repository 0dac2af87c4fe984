import t from 'tap';
import type { Node } from '../../../../src/objects/Node.js';
import { parseObject } from '../../../../src/objects/read/parseObject.js';
import { nodeManifest, verdict, warningsOf } from '../samples.js';

function parse(raw: unknown): Node {
  const result = parseObject(raw);
  if (result.type !== 'object' || result.object.kind !== 'Node') throw new Error(verdict(raw));
  return result.object;
}

t.test('a bare Node', async (t) => {
  const node = {
    kind: 'Node',
    name: 'node1',
    zone: '',
    addresses: [],
    podCIDRs: [],
    leave: false,
    eligible: true,
  };
  t.strictSame(parse(nodeManifest()), node);
});

t.test('every used field is read', async (t) => {
  const raw = nodeManifest(
    {
      spec: { podCIDR: '10.9.0.0/24', podCIDRs: ['10.1.2.3/24', 'FD00:1::/64'], taints: [{ key: 'other' }] },
      status: {
        addresses: [
          { type: 'Hostname', address: 'node1' },
          { type: 'ExternalIP', address: '203.0.113.5' },
          { type: 'InternalIP', address: '192.168.0.5' },
          { type: 'InternalIP', address: 'fd00::5' },
        ],
        conditions: [{ type: 'NetworkUnavailable', status: 'True' }],
      },
    },
    { labels: { 'topology.kubernetes.io/zone': 'west-1', odd: 3 } },
  );
  t.strictSame(parse(raw), {
    kind: 'Node',
    name: 'node1',
    zone: 'west-1',
    addresses: ['192.168.0.5', 'fd00::5', '203.0.113.5'],
    podCIDRs: ['10.1.2.0/24', 'fd00:1::/64'],
    leave: false,
    eligible: true,
    labels: { 'topology.kubernetes.io/zone': 'west-1' },
    networkUnavailable: true,
  });
});

t.test('podCIDR stands in for podCIDRs', async (t) => {
  t.strictSame(parse(nodeManifest({ spec: { podCIDR: '10.1.2.0/24' } })).podCIDRs, ['10.1.2.0/24']);
});

t.test('a node on its way out is not eligible', async (t) => {
  t.equal(parse(nodeManifest({}, { deletionTimestamp: '2026-01-01T00:00:00Z' })).eligible, false);
  const taints = [{ key: 'x' }, { key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }];
  t.equal(parse(nodeManifest({ spec: { taints } })).eligible, false);
});

t.test('an odd address does not cost the node, an odd pod range does', async (t) => {
  const status = {
    addresses: [
      { type: 'InternalIP', address: 'node1.local' },
      { type: 'InternalIP', address: '10.0.0.5' },
    ],
  };
  const raw = nodeManifest({ status });
  t.strictSame(parse(raw).addresses, ['10.0.0.5']);
  t.strictSame(warningsOf(parseObject(raw)), [
    'Node node1: status.addresses[0].address is "node1.local", which is no IP address; this entry is skipped',
  ]);
  t.equal(
    verdict(nodeManifest({ spec: { podCIDRs: ['10.1.2.0'] } })),
    'Node node1: spec.podCIDRs[0] is "10.1.2.0", must be a CIDR such as 10.1.2.0/24',
  );
});

t.test('a node is not ready when its condition says so, and not when nobody says anything', async (t) => {
  const withReady = (status: string) =>
    parse(nodeManifest({ status: { conditions: [{ type: 'Ready', status }] } })).notReady;
  t.equal(withReady('True'), undefined);
  t.equal(withReady('False'), true);
  t.equal(withReady('Unknown'), true, 'the kubelet is not heard');
  t.equal(parse(nodeManifest()).notReady, undefined, 'manifests need not say it');
});

t.test('its uid, for what belongs to it', (t) => {
  t.equal(parse(nodeManifest({}, { uid: 'b6d1' })).uid, 'b6d1');
  t.equal('uid' in parse(nodeManifest()), false);
  t.end();
});
