/** From a Service to its service ports: which there are, and what they carry. */
import t from 'tap';
import type { LoadBalancerIngress, Service } from '../../../src/objects/Service.js';
import {
  externalVerdict,
  internalVerdict,
  isExternallyAccessible,
  type ServicePort,
} from '../../../src/routing/ServicePort.js';
import {
  cidr,
  DEAD,
  endpoint,
  endpointPort,
  ip,
  node,
  port,
  SERVING_TERMINATING,
  service,
  slice,
  tableOf,
} from '../../support/builders.js';

const DUAL = { IPv4: ip('10.96.0.10'), IPv6: ip('fd00:96::10') };
const vip = (text: string, ipMode: LoadBalancerIngress['ipMode'] = 'VIP') => ({ ip: ip(text), ipMode });

function portsOf(fields: Partial<Service>, family: 'IPv4' | 'IPv6' = 'IPv4', proxyName = ''): ServicePort[] {
  const table = tableOf([service(fields), node({ addresses: [ip('192.168.0.2'), ip('fd00:1::2')] })], {
    serviceProxyName: proxyName,
  });
  table.commit();
  return [...table.servicePorts(family).values()];
}

function onlyPort(fields: Partial<Service>, family: 'IPv4' | 'IPv6' = 'IPv4'): ServicePort {
  const ports = portsOf(fields, family);
  if (ports.length !== 1 || !ports[0]) throw new Error(`${ports.length} service ports`);
  return ports[0];
}

t.test('Services that have no service ports', async (t) => {
  const cases: readonly [string, Partial<Service>][] = [
    ['ExternalName', { type: 'ExternalName' }],
    ['headless', { headless: true, clusterIPs: {} }],
    ['no cluster IP', { clusterIPs: {} }],
    ['of another family', { clusterIPs: { IPv6: ip('fd00:96::10') } }],
    ['for another proxy', { proxyName: 'other' }],
    ['without ports', { ports: [] }],
  ];
  for (const [name, fields] of cases) t.same(portsOf(fields), [], name);
});

t.test('service-proxy-name: exactly the own one', async (t) => {
  const cases: readonly [own: string, label: string | undefined, count: number][] = [
    ['', undefined, 1],
    ['', 'penstock', 0],
    ['penstock', undefined, 0],
    ['penstock', 'penstock', 1],
    ['penstock', 'other', 0],
  ];
  for (const [own, proxyName, count] of cases) {
    t.equal(portsOf({ proxyName }, 'IPv4', own).length, count, `own '${own}', label ${proxyName}`);
  }
});

t.test('names and keys', async (t) => {
  const [http, dns] = portsOf({
    ports: [port({ name: 'http' }), port({ name: 'dns', protocol: 'UDP', port: 53 })],
  });
  t.match(http, {
    key: 'shop/cart:http/TCP',
    name: 'shop/cart:http',
    portName: 'http',
    protocol: 'TCP',
    port: 80,
  });
  t.match(dns, {
    key: 'shop/cart:dns/UDP',
    name: 'shop/cart:dns',
    portName: 'dns',
    protocol: 'UDP',
    port: 53,
  });
  t.match(onlyPort({}), { key: 'shop/cart/TCP', name: 'shop/cart', namespace: 'shop', service: 'cart' });
});

t.test('each family gets its own addresses', async (t) => {
  const fields: Partial<Service> = {
    type: 'LoadBalancer',
    clusterIPs: DUAL,
    externalIPs: [ip('1.2.3.4'), ip('2001:db8::4'), ip('1.2.3.4')],
    loadBalancerIngress: [vip('5.6.7.8'), vip('5.6.7.9', 'Proxy'), vip('2001:db8::8'), vip('5.6.7.8')],
    loadBalancerSourceRanges: [cidr('203.0.113.0/25'), cidr('2001:db8:1::/48'), cidr('203.0.113.0/25')],
  };
  t.match(onlyPort(fields, 'IPv4'), {
    family: 'IPv4',
    clusterIP: '10.96.0.10',
    externalIPs: ['1.2.3.4'],
    loadBalancerIPs: ['5.6.7.8'],
    sourceRanges: ['203.0.113.0/25'],
  });
  t.match(onlyPort(fields, 'IPv6'), {
    family: 'IPv6',
    clusterIP: 'fd00:96::10',
    externalIPs: ['2001:db8::4'],
    loadBalancerIPs: ['2001:db8::8'],
    sourceRanges: ['2001:db8:1::/48'],
  });
});

t.test('ipMode Proxy leaves the address to the load balancer', async (t) => {
  const found = onlyPort({ type: 'LoadBalancer', loadBalancerIngress: [vip('5.6.7.8', 'Proxy')] });
  t.same(found.loadBalancerIPs, []);
  t.notOk(isExternallyAccessible(found));
});

t.test('source ranges', async (t) => {
  const cases: readonly [ranges: string[], expected: string[], nodeIn: boolean][] = [
    [[], [], false],
    [['203.0.113.0/25'], ['203.0.113.0/25'], false],
    [['192.168.0.0/24', '203.0.113.0/25'], ['192.168.0.0/24', '203.0.113.0/25'], true],
    [['203.0.113.0/25', '0.0.0.0/0'], [], false],
    // A range that lifts the restriction lifts it in its own family only.
    [['203.0.113.0/25', '::/0'], ['203.0.113.0/25'], false],
  ];
  for (const [ranges, expected, nodeIn] of cases) {
    const found = onlyPort({ type: 'LoadBalancer', loadBalancerSourceRanges: ranges.map(cidr) });
    t.same([found.sourceRanges, found.nodeInSourceRanges], [expected, nodeIn], ranges.join(' ') || 'none');
  }
});

t.test('policies', async (t) => {
  const local = { internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' } as const;
  const cases: readonly [string, Partial<Service>, 'Cluster' | 'Local'][] = [
    ['ClusterIP', { type: 'ClusterIP' }, 'Cluster'],
    ['ClusterIP with external IPs', { type: 'ClusterIP', externalIPs: [ip('1.2.3.4')] }, 'Local'],
    ['NodePort', { type: 'NodePort', ports: [port({ nodePort: 30001 })] }, 'Local'],
    ['LoadBalancer', { type: 'LoadBalancer' }, 'Local'],
  ];
  for (const [name, fields, external] of cases) {
    t.match(onlyPort({ ...local, ...fields }), { internalPolicy: 'Local', externalPolicy: external }, name);
    t.match(onlyPort(fields), { internalPolicy: 'Cluster', externalPolicy: 'Cluster' }, `${name}, Cluster`);
  }
});

t.test('health-check node port: only type LoadBalancer with external policy Local', async (t) => {
  const cases: readonly [Service['type'], 'Cluster' | 'Local', number][] = [
    ['LoadBalancer', 'Local', 32000],
    ['LoadBalancer', 'Cluster', 0],
    ['NodePort', 'Local', 0],
    ['ClusterIP', 'Local', 0],
  ];
  for (const [type, externalTrafficPolicy, expected] of cases) {
    const found = onlyPort({ type, externalTrafficPolicy, healthCheckNodePort: 32000 });
    t.equal(found.healthCheckNodePort, expected, `${type} ${externalTrafficPolicy}`);
  }
});

t.test('affinity and options are carried over', async (t) => {
  const found = onlyPort({ affinitySeconds: 10800, options: { algorithm: 'random' } });
  t.match(found, { affinitySeconds: 10800, options: { algorithm: 'random' } });
  t.equal(onlyPort({}).affinitySeconds, undefined);
});

t.test('which endpoint lists a service port has follows from its policies', async (t) => {
  const endpoints = [endpoint('10.1.0.1', { nodeName: 'node1' }), endpoint('10.1.0.2')];
  const sets = (fields: Partial<Service>) => {
    const table = tableOf([service(fields), slice(endpoints)]);
    table.commit();
    const { cluster, local, reachable } = table.servicePorts('IPv4').get('shop/cart/TCP')?.endpoints ?? {};
    return [cluster?.length, local?.length, reachable?.length];
  };
  const external = { type: 'NodePort', ports: [port({ nodePort: 30001 })] } as const;
  const internalLocal = { internalTrafficPolicy: 'Local' } as const;
  const externalLocal = { externalTrafficPolicy: 'Local' } as const;
  t.same(sets({}), [2, 0, 2], 'internal only');
  t.same(sets(internalLocal), [0, 1, 1], 'internal only, Local');
  t.same(sets({ ...external }), [2, 0, 2], 'external');
  t.same(sets({ ...external, ...internalLocal }), [2, 1, 2], 'external, internal Local');
  t.same(sets({ ...external, ...externalLocal }), [2, 1, 2], 'external Local');
  t.same(
    sets({ type: 'LoadBalancer', ...externalLocal }),
    [2, 0, 2],
    'external Local, but not reachable from outside',
  );
});

t.test('verdicts', async (t) => {
  const cases: readonly [string, Parameters<typeof slice>[0], internal: string, external: string][] = [
    ['no endpoints', [], 'reject reject', 'reject reject'],
    ['dead ones', [endpoint('10.1.0.1', DEAD)], 'reject reject', 'reject reject'],
    ['elsewhere', [endpoint('10.1.0.1')], 'forward drop', 'forward drop'],
    ['elsewhere, terminating', [endpoint('10.1.0.1', SERVING_TERMINATING)], 'forward drop', 'forward drop'],
    ['here', [endpoint('10.1.0.1', { nodeName: 'node1' })], 'forward forward', 'forward forward'],
  ];
  for (const [name, endpoints, internal, external] of cases) {
    const found = (['Cluster', 'Local'] as const).map((policy) => {
      const table = tableOf([
        service({
          type: 'NodePort',
          ports: [port({ nodePort: 30001 })],
          internalTrafficPolicy: policy,
          externalTrafficPolicy: policy,
        }),
        slice(endpoints),
      ]);
      table.commit();
      return table.servicePorts('IPv4').get('shop/cart/TCP') as ServicePort;
    });
    t.equal(found.map(internalVerdict).join(' '), internal, `${name}: internal, Cluster and Local`);
    t.equal(found.map(externalVerdict).join(' '), external, `${name}: external, Cluster and Local`);
  }
});

t.test('the endpoint port is that of the slice port with the same name and protocol', async (t) => {
  const table = tableOf([
    service({ ports: [port({ name: 'dns', protocol: 'UDP', port: 53 })] }),
    slice([endpoint('10.1.0.1')], {
      ports: [
        endpointPort({ name: 'dns', protocol: 'TCP', port: 1053 }),
        endpointPort({ name: 'dns', protocol: 'UDP', port: 2053 }),
        endpointPort({ name: 'other', protocol: 'UDP', port: 3053 }),
      ],
    }),
  ]);
  table.commit();
  const found = table.servicePorts('IPv4').get('shop/cart:dns/UDP')?.endpoints.all;
  t.same(
    found?.map((e) => e.target),
    ['10.1.0.1:2053'],
  );
});
