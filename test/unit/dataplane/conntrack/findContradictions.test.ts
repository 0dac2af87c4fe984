/** Every rule of which entries go and which stay, by hand. */
import t from 'tap';
import { NodePortAddresses } from '../../../../src/dataplane/conntrack/Destinations.js';
import {
  canBeContradicted,
  findContradictions,
} from '../../../../src/dataplane/conntrack/findContradictions.js';
import { OwedChecks } from '../../../../src/dataplane/conntrack/OwedChecks.js';
import type { ApiObject } from '../../../../src/objects/ApiObject.js';
import type { Protocol } from '../../../../src/objects/Service.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import {
  endpoint,
  endpointPort,
  ip,
  port,
  remove,
  SERVING_TERMINATING,
  service,
  slice,
  tableOf,
  upsert,
} from '../../../support/builders.js';
import { entryOf, type Flow } from './entries.js';

const HOST = ['192.168.0.2', '127.0.0.1', '::1', 'fd00:1::2'].map(ip);

/** Service shop/dns: cluster IP 10.96.0.10, external IP 1.2.3.4, load-balancer IP 5.6.7.8, port 53, node port 30053. */
function dns(protocol: Protocol = 'UDP', fields: Parameters<typeof service>[0] = {}) {
  return service({
    type: 'LoadBalancer',
    name: `dns-${protocol}`,
    clusterIPs: { IPv4: ip('10.96.0.10'), IPv6: ip('fd00:96::10') },
    ports: [port({ protocol, port: 53, nodePort: 30053 })],
    externalIPs: [ip('1.2.3.4')],
    loadBalancerIngress: [{ ip: ip('5.6.7.8'), ipMode: 'VIP' }],
    ...fields,
  });
}

function pods(protocol: Protocol, ...addresses: string[]) {
  return slice(
    addresses.map((address) => endpoint(address)),
    {
      name: `dns-${protocol}`,
      serviceName: `dns-${protocol}`,
      ports: [endpointPort({ protocol, port: 5353 })],
    },
  );
}

type Expectation = 'goes' | 'stays';
interface Rule extends Flow {
  readonly expect: Expectation;
  readonly because: string;
}

function judge(
  t: Tap,
  rules: readonly Rule[],
  checks: OwedChecks,
  servicePorts: ReadonlyMap<string, ServicePort>,
): void {
  for (const rule of rules) {
    const { because, expect, ...flow } = rule;
    const entry = entryOf(flow);
    const found = findContradictions([entry], {
      checks,
      servicePorts,
      nodePortAddresses: new NodePortAddresses(HOST),
      localhostTargets: new Set(['127.0.0.1:4711', '[::1]:4712']),
    });
    t.equal(found.length === 1 ? 'goes' : 'stays', expect, because);
  }
}

type Tap = Pick<typeof t, 'equal'>;

function committed(...objects: ApiObject[]) {
  const table = tableOf(objects);
  table.commit();
  return table;
}

const everything = OwedChecks.everything();
const SERVED = '10.244.1.5:5353';
const GONE = '10.244.1.9:5353';

t.test('entries against a service port that is there', async (t) => {
  const table = committed(dns(), pods('UDP', '10.244.1.5', '10.244.1.6'));
  const rules: Rule[] = [
    { to: '10.96.0.10:53', nat: SERVED, expect: 'stays', because: 'an endpoint' },
    { to: '10.96.0.10:53', nat: SERVED, replied: 'replied', expect: 'stays', because: 'an endpoint in use' },
    { to: '10.96.0.10:53', nat: GONE, expect: 'goes', because: 'no endpoint' },
    { to: '10.96.0.10:53', nat: GONE, replied: 'replied', expect: 'goes', because: 'no endpoint, in use' },
    { to: '10.96.0.10:53', nat: '10.244.1.5:53', expect: 'goes', because: 'another port of an endpoint' },
    { to: '10.96.0.10:53', expect: 'goes', because: 'sent before there were rules' },
    { to: '1.2.3.4:53', nat: GONE, expect: 'goes', because: 'an external IP' },
    { to: '1.2.3.4:53', nat: SERVED, expect: 'stays', because: 'an external IP, right' },
    { to: '5.6.7.8:53', nat: GONE, expect: 'goes', because: 'a load-balancer IP' },
    { to: '5.6.7.8:53', nat: SERVED, expect: 'stays', because: 'a load-balancer IP, right' },
    { to: '192.168.0.2:30053', nat: GONE, expect: 'goes', because: 'a node port' },
    { to: '192.168.0.2:30053', nat: SERVED, expect: 'stays', because: 'a node port, right' },
    { to: '192.168.0.2:30053', expect: 'goes', because: 'a node port, from before it was served' },
    { to: '127.0.0.1:30053', nat: GONE, expect: 'goes', because: 'a node port of loopback' },
    { to: '127.9.9.9:30053', nat: GONE, expect: 'goes', because: 'all of 127.0.0.0/8 is this node' },
    { to: '127.0.0.1:30053', expect: 'goes', because: 'loopback, from before the Service' },
    { to: '127.0.0.1:30053', nat: '127.0.0.1:4710', expect: 'goes', because: 'the proxy of an agent before' },
    { to: '127.0.0.1:30053', nat: '127.0.0.1:4711', expect: 'stays', because: 'our own proxy' },
    { to: '127.9.9.9:30053', nat: '127.0.0.1:4711', expect: 'stays', because: 'our own proxy again' },
    { to: '192.168.0.2:30053', nat: '127.0.0.1:4711', expect: 'goes', because: 'it serves loopback alone' },
    { to: '192.168.0.3:30053', nat: GONE, expect: 'stays', because: 'NAT of another for a remote host' },
    { to: '192.168.0.3:30053', expect: 'stays', because: 'a remote host, same port number' },
    { to: '8.8.8.8:53', expect: 'stays', because: 'a remote server, same port' },
    { to: '10.96.0.10:54', nat: GONE, expect: 'stays', because: 'another port of the VIP' },
    { to: '192.168.0.2:53', expect: 'stays', because: 'no node port' },
    { to: '10.244.1.9:5353', expect: 'stays', because: 'straight to a pod' },
    { to: '10.96.0.10:53', nat: GONE, zone: 5, expect: 'stays', because: 'a zone of somebody else' },
    { to: '10.96.0.10:53', nat: GONE, protocol: 'SCTP', expect: 'stays', because: 'SCTP is left alone' },
  ];
  judge(t, rules, everything, table.servicePorts('IPv4'));
});

t.test('IPv6', async (t) => {
  const v6 = slice([endpoint('fd00:10::5')], {
    name: 'v6',
    serviceName: 'dns-UDP',
    family: 'IPv6',
    ports: [endpointPort({ protocol: 'UDP', port: 5353 })],
  });
  const rules: Rule[] = [
    { to: '[fd00:96::10]:53', nat: '[fd00:10::5]:5353', expect: 'stays', because: 'an endpoint' },
    { to: '[fd00:96::10]:53', nat: '[fd00:10::6]:5353', expect: 'goes', because: 'no endpoint' },
    { to: '[fd00:1::2]:30053', nat: '[fd00:10::6]:5353', expect: 'goes', because: 'a node port' },
    { to: '[::1]:30053', nat: '[fd00:10::6]:5353', expect: 'goes', because: 'loopback' },
    { to: '[::1]:30053', expect: 'goes', because: 'loopback, from before the Service' },
    { to: '[::1]:30053', nat: '[::1]:4712', expect: 'stays', because: 'our own proxy' },
    { to: '[fd00:1::3]:30053', expect: 'stays', because: 'a remote host' },
  ];
  judge(t, rules, everything, committed(dns(), v6).servicePorts('IPv6'));
});

t.test('TCP: only what never had an answer', async (t) => {
  const table = committed(dns('TCP'), pods('TCP', '10.244.1.5'));
  const rules: Rule[] = [
    { to: '10.96.0.10:53', nat: GONE, expect: 'goes', because: 'SYN to an endpoint that went' },
    { to: '10.96.0.10:53', expect: 'goes', because: 'SYN before there were rules (k/k#48719)' },
    { to: '10.96.0.10:53', nat: SERVED, expect: 'stays', because: 'SYN to an endpoint' },
    { to: '10.96.0.10:53', nat: GONE, replied: 'replied', expect: 'stays', because: 'it drains' },
    { to: '10.96.0.10:53', replied: 'replied', expect: 'stays', because: 'it had an answer' },
    { to: '192.168.0.2:30053', nat: GONE, expect: 'goes', because: 'a node port' },
  ];
  judge(
    t,
    rules.map((rule) => ({ ...rule, protocol: 'TCP' })),
    everything,
    table.servicePorts('IPv4'),
  );
});

t.test('no endpoints left', async (t) => {
  const rules: Rule[] = [
    { to: '10.96.0.10:53', nat: SERVED, expect: 'goes', because: 'its last endpoint went (k/k#139628)' },
    { to: '10.96.0.10:53', expect: 'goes', because: 'never NATed' },
    { to: '192.168.0.2:30053', nat: SERVED, expect: 'goes', because: 'a node port' },
    { to: '8.8.8.8:53', expect: 'stays', because: 'a remote server' },
  ];
  judge(t, rules, everything, committed(dns()).servicePorts('IPv4'));
});

t.test('every reachable endpoint will do, whatever the policy of the VIP', async (t) => {
  const mixed = slice(
    [
      endpoint('10.244.1.5', { nodeName: 'node1', ...SERVING_TERMINATING }),
      endpoint('10.244.1.6'),
      endpoint('10.244.1.7', { nodeName: 'node3', ...SERVING_TERMINATING }),
    ],
    { name: 'm', serviceName: 'dns-UDP', ports: [endpointPort({ protocol: 'UDP', port: 5353 })] },
  );
  const table = committed(dns('UDP', { externalTrafficPolicy: 'Local' }), mixed);
  const rules: Rule[] = [
    {
      to: '5.6.7.8:53',
      nat: '10.244.1.5:5353',
      expect: 'stays',
      because: 'terminating, the last of this node',
    },
    { to: '5.6.7.8:53', nat: '10.244.1.6:5353', expect: 'stays', because: 'remote: pods may use it' },
    { to: '10.96.0.10:53', nat: '10.244.1.5:5353', expect: 'stays', because: 'reachable from outside' },
    { to: '5.6.7.8:53', nat: '10.244.1.7:5353', expect: 'goes', because: 'terminating elsewhere' },
  ];
  judge(t, rules, everything, table.servicePorts('IPv4'));
});

t.test('what is gone', async (t) => {
  const table = tableOf([dns(), pods('UDP', '10.244.1.5')]);
  table.commit();
  table.apply([remove(dns())]);
  const checks = new OwedChecks();
  for (const change of table.commit().families.IPv4) checks.note(change);
  const rules: Rule[] = [
    { to: '10.96.0.10:53', nat: SERVED, expect: 'goes', because: 'to its endpoint (k/k#141371)' },
    { to: '5.6.7.8:53', nat: SERVED, expect: 'goes', because: 'of the load-balancer IP' },
    { to: '192.168.0.2:30053', nat: SERVED, expect: 'goes', because: 'of the node port' },
    { to: '10.96.0.10:53', nat: GONE, expect: 'stays', because: 'to somebody we never knew' },
    { to: '1.2.3.4:53', expect: 'stays', because: 'never NATed: the external IP is a host' },
    { to: '192.168.0.2:30053', expect: 'stays', because: 'never NATed: a process of this node' },
    { to: '192.168.0.3:30053', nat: SERVED, expect: 'stays', because: 'the node port of another node' },
    { to: '10.96.0.11:53', nat: SERVED, expect: 'stays', because: 'another VIP' },
    { to: '10.96.0.10:53', nat: SERVED, zone: 5, expect: 'stays', because: 'another zone' },
  ];
  judge(t, rules, checks, table.servicePorts('IPv4'));
});

t.test('a process of this node that was its own endpoint', async (t) => {
  const own = dns('UDP', {
    ports: [port({ protocol: 'UDP', port: 5353 })],
    externalIPs: [ip('192.168.0.2')],
  });
  const table = tableOf([own, pods('UDP', '192.168.0.2')]);
  table.commit();
  table.apply([remove(own)]);
  const checks = new OwedChecks();
  for (const change of table.commit().families.IPv4) checks.note(change);
  const rules: Rule[] = [
    { to: '192.168.0.2:5353', expect: 'stays', because: 'it still answers for itself' },
    {
      to: '10.96.0.10:5353',
      nat: '192.168.0.2:5353',
      expect: 'goes',
      because: 'nobody leads there any more',
    },
  ];
  judge(t, rules, checks, table.servicePorts('IPv4'));
});

t.test('a place that has a new owner is his', async (t) => {
  const table = tableOf([dns(), pods('UDP', '10.244.1.5', '10.244.1.6')]);
  table.commit();
  const heir = dns('UDP', { name: 'heir', ports: [port({ protocol: 'UDP', port: 53 })] });
  const heirs = { ...pods('UDP', '10.244.1.5'), name: 'heir', serviceName: 'heir' };
  table.apply([remove(dns()), upsert(heir), upsert(heirs)]);
  const [removal] = table.commit().families.IPv4.filter((change) => change.after === undefined);
  const checks = new OwedChecks();
  if (removal !== undefined) checks.note(removal);
  const rules: Rule[] = [
    { to: '10.96.0.10:53', nat: SERVED, expect: 'stays', because: 'the endpoint is his too' },
    { to: '10.96.0.10:53', nat: '10.244.1.6:5353', expect: 'goes', because: 'the endpoint is not' },
    { to: '192.168.0.2:30053', nat: SERVED, expect: 'goes', because: 'the node port has no heir' },
  ];
  judge(t, rules, checks, table.servicePorts('IPv4'));
});

t.test('a VIP that is an address of this node goes before the node port', async (t) => {
  const atNode = service({
    name: 'at-node',
    clusterIPs: { IPv4: ip('10.96.0.20') },
    externalIPs: [ip('192.168.0.2')],
    ports: [port({ protocol: 'UDP', port: 30053 })],
  });
  const its = { ...pods('UDP', '10.244.3.3'), name: 'at-node', serviceName: 'at-node' };
  const table = tableOf([dns(), pods('UDP', '10.244.1.5'), atNode, its]);
  table.commit();
  table.apply([upsert(pods('UDP', '10.244.1.6'))]);
  const checks = new OwedChecks();
  for (const change of table.commit().families.IPv4) checks.note(change);
  const rules: Rule[] = [
    { to: '192.168.0.2:30053', nat: '10.244.3.3:5353', expect: 'stays', because: 'an endpoint of the VIP' },
    { to: '127.0.0.1:30053', nat: '10.244.3.3:5353', expect: 'goes', because: 'the node port is not his' },
    {
      to: '127.0.0.1:30053',
      nat: '10.244.1.6:5353',
      expect: 'stays',
      because: 'an endpoint of the node port',
    },
    { to: '10.96.0.20:30053', nat: GONE, expect: 'stays', because: 'nothing changed there' },
  ];
  judge(t, rules, checks, table.servicePorts('IPv4'));
  judge(
    t,
    [{ to: '192.168.0.2:30053', nat: '10.244.1.6:5353', expect: 'goes', because: 'the VIP is not for it' }],
    everything,
    table.servicePorts('IPv4'),
  );
});

t.test('when the kernel need not be asked', async (t) => {
  const v6Only = dns('UDP', { clusterIPs: { IPv6: ip('fd00:96::10') } });
  const servicePorts = committed(dns()).servicePorts('IPv4');
  t.equal(canBeContradicted({ checks: everything, servicePorts }), true);
  t.equal(canBeContradicted({ checks: new OwedChecks(), servicePorts }), false);
  const none = committed(v6Only).servicePorts('IPv4');
  t.equal(canBeContradicted({ checks: everything, servicePorts: none }), false);
});
