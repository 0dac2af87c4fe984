import t from 'tap';
import { readRequest } from '../../../../src/balancer/addresses/ServiceRequest.js';
import { parseObject } from '../../../../src/objects/read/parseObject.js';
import { ADDRESS_ANNOTATIONS } from '../../../../src/objects/read/requestedAddresses.js';

/** What nobody may serve, and what it is called. */
const NEVER = [
  ['127.0.0.1', 'a loopback address'],
  ['::1', 'a loopback address'],
  ['0.0.0.0', 'the unspecified address'],
  ['::', 'the unspecified address'],
  ['0.1.2.3', 'an address of "this network" (0.0.0.0/8)'],
  ['169.254.169.254', 'an address at which clouds serve metadata and credentials'],
  ['fd00:ec2::254', 'an address at which clouds serve metadata and credentials'],
  ['224.0.0.1', 'a multicast address'],
  ['ff02::1', 'a multicast address'],
  ['255.255.255.255', 'the broadcast address'],
  ['::ffff:192.0.2.1', 'no IP address'],
  ['nonsense', 'no IP address'],
] as const;

/** A Service that asks for two addresses, in each way that there is. */
const WAYS: Readonly<Record<string, (addresses: string) => object>> = {
  ...Object.fromEntries(
    ADDRESS_ANNOTATIONS.map((annotation) => [
      annotation,
      (text: string) => service({ annotations: { [annotation]: text } }, {}, {}),
    ]),
  ),
  'spec.loadBalancerIP': (text) => service({}, { loadBalancerIP: text }, {}),
  status: (text) => service({}, {}, { loadBalancer: { ingress: text.split(', ').map((ip) => ({ ip })) } }),
};

function service(metadata: object, spec: object, status: object): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'cart', namespace: 'shop', ...metadata },
    spec: { type: 'LoadBalancer', clusterIP: '10.96.0.1', ports: [{ port: 80 }], ...spec },
    status,
  };
}

t.test('an address that nobody may serve is skipped and named, whatever way it is asked for', async (t) => {
  for (const [way, manifest] of Object.entries(WAYS))
    for (const [address, what] of NEVER) {
      const result = parseObject(manifest(`${address}, 192.0.2.9`), { writtenBy: 'person' });
      if (result.type !== 'object' || result.object.kind !== 'Service') throw new Error(way);
      t.same(result.object.loadBalancerIngress, [{ ip: '192.0.2.9', ipMode: 'VIP' }], `${address} by ${way}`);
      t.ok(
        result.warnings.some(({ message }) => message.includes(`"${address}", which is ${what};`)),
        `${address} by ${way} is named`,
      );
    }
});

t.test('the allocator gives none of them', async (t) => {
  for (const [way, manifest] of Object.entries(WAYS)) {
    if (way === 'status') continue;
    for (const [address, what] of NEVER) {
      const request = readRequest(manifest(address));
      t.same(request?.addresses, [], `${address} by ${way}`);
      t.same(request?.badAddresses, [`"${address}" is ${what}`]);
    }
  }
});
