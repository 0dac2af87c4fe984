/** What one service port comes to in the kernel: policies, sets, schedulers, who wins an address. */
import t from 'tap';
import { DesiredState, nothingTouched } from '../../../../../src/dataplane/ipvs/desired/DesiredState.js';
import { type IpvsSettings, ipvsSettings } from '../../../../../src/dataplane/ipvs/desired/IpvsSettings.js';
import { Drains } from '../../../../../src/dataplane/ipvs/plan/Drains.js';
import { planChanges, planFresh } from '../../../../../src/dataplane/ipvs/plan/planChanges.js';
import { printChange } from '../../../../../src/kernel/ipvs/printChange.js';
import type { IpAddress } from '../../../../../src/net/ip.js';
import type { ApiObject } from '../../../../../src/objects/ApiObject.js';
import type { Service } from '../../../../../src/objects/Service.js';
import {
  cidr,
  endpoint,
  ip,
  port,
  SERVING_TERMINATING,
  service,
  slice,
  tableOf,
  upsert,
} from '../../../../support/builders.js';
import { IPVS_GOLDEN_OPTIONS } from '../../../../support/goldenIpvs.js';

const NODE: readonly IpAddress[] = [ip('192.0.2.1')];
const HERE = endpoint('10.244.0.5', { nodeName: 'node1' });
const ELSEWHERE = endpoint('10.244.1.6');

function settingsOf(objects: readonly ApiObject[], fields: Partial<IpvsSettings> = {}): IpvsSettings {
  const facts = { addresses: NODE, randomFully: true, localhostPorts: {} };
  return { ...ipvsSettings(IPVS_GOLDEN_OPTIONS, 'IPv4', tableOf(objects), facts), ...fields };
}

/** Everything of the objects: ipvsadm's lines, and elements by set. */
function fresh(objects: readonly ApiObject[], fields: Partial<IpvsSettings> = {}) {
  const table = tableOf(objects, { fallbackAddresses: { IPv4: ip('192.0.2.1') } });
  table.commit();
  const desired = new DesiredState(settingsOf(objects, fields));
  for (const each of table.servicePorts('IPv4').values()) desired.replace(undefined, each, nothingTouched());
  const plan = planFresh(desired);
  const elements = (set: string) =>
    plan.newEntries.filter((entry) => entry.set === set).map((e) => e.element);
  return {
    lines: plan.additions.map(({ change }) => printChange(change)),
    elements,
    addresses: plan.newAddresses,
  };
}

const loadBalancer = (fields: Partial<Service> = {}) =>
  service({
    type: 'LoadBalancer',
    ports: [port({ nodePort: 30080 })],
    externalIPs: [ip('198.51.100.7')],
    loadBalancerIngress: [{ ip: ip('203.0.113.9'), ipMode: 'VIP' }],
    ...fields,
  });

t.test('policy Cluster: every place has every endpoint', async (t) => {
  const { lines, elements, addresses } = fresh([loadBalancer(), slice([HERE, ELSEWHERE])]);
  t.strictSame(
    lines,
    ['10.96.0.10:80', '198.51.100.7:80', '203.0.113.9:80', '192.0.2.1:30080'].flatMap((place) => [
      `-A -t ${place} -s rr`,
      `-a -t ${place} -r 10.244.0.5:8080 -m -w 1`,
      `-a -t ${place} -r 10.244.1.6:8080 -m -w 1`,
    ]),
  );
  t.strictSame(addresses, ['10.96.0.10', '198.51.100.7', '203.0.113.9'], 'not that of the node');
  t.strictSame(elements('KUBE-LOOP-BACK'), ['10.244.0.5,tcp:8080,10.244.0.5']);
  t.strictSame(elements('PENSTOCK-DROP'), []);
  t.strictSame(elements('KUBE-NODE-PORT-TCP'), ['30080']);
  t.strictSame(elements('KUBE-NODE-PORT-LOCAL-TCP'), []);
});

t.test('external policy Local: outside gets local endpoints, the cluster all of them', async (t) => {
  const { lines, elements } = fresh([
    loadBalancer({ externalTrafficPolicy: 'Local' }),
    slice([HERE, ELSEWHERE]),
  ]);
  const serversOf = (place: string) =>
    lines.filter((line) => line.startsWith(`-a ${place} `)).map((line) => line.split(' ')[4]);
  t.strictSame(serversOf('-t 10.96.0.10:80'), ['10.244.0.5:8080', '10.244.1.6:8080']);
  t.strictSame(serversOf('-t 203.0.113.9:80'), ['10.244.0.5:8080']);
  t.strictSame(serversOf('-t 192.0.2.1:30080'), ['10.244.0.5:8080']);
  t.strictSame(serversOf(`-f ${0x70000000}`), ['10.244.0.5:8080', '10.244.1.6:8080']);
  const places = ['198.51.100.7,tcp:80', '203.0.113.9,tcp:80', '192.0.2.1,tcp:30080'];
  t.strictSame(elements('PENSTOCK-CLUSTER-CLIENTS').sort(), places.sort());
  t.strictSame(elements('PENSTOCK-DROP'), []);
  t.strictSame(elements('KUBE-EXTERNAL-IP-LOCAL'), ['198.51.100.7,tcp:80']);
});

t.test('external policy Local without local endpoints: what comes from outside is dropped', async (t) => {
  const { elements } = fresh([loadBalancer({ externalTrafficPolicy: 'Local' }), slice([ELSEWHERE])]);
  t.strictSame(elements('PENSTOCK-DROP').sort(), [
    '192.0.2.1,tcp:30080',
    '198.51.100.7,tcp:80',
    '203.0.113.9,tcp:80',
  ]);
});

t.test('internal policy Local', async (t) => {
  const local = service({ internalTrafficPolicy: 'Local' });
  t.strictSame(fresh([local, slice([HERE, ELSEWHERE])]).lines.length, 2);
  t.strictSame(fresh([local, slice([ELSEWHERE])]).elements('PENSTOCK-DROP'), ['10.96.0.10,tcp:80']);
  t.strictSame(fresh([local]).elements('PENSTOCK-DROP'), [], 'no endpoint anywhere: IPVS itself rejects');
});

t.test('source ranges', async (t) => {
  const ranges = (texts: readonly string[]) =>
    fresh([loadBalancer({ loadBalancerSourceRanges: texts.map(cidr) }), slice([HERE])]);
  const { elements } = ranges(['203.0.113.0/25', '198.51.100.1/32']);
  t.strictSame(elements('KUBE-LOAD-BALANCER-FW'), ['203.0.113.9,tcp:80']);
  t.strictSame(elements('KUBE-LOAD-BALANCER-SOURCE-CIDR'), [
    '203.0.113.9,tcp:80,203.0.113.0/25',
    '203.0.113.9,tcp:80,198.51.100.1',
  ]);
  t.strictSame(elements('KUBE-LOAD-BALANCER-SOURCE-IP'), []);
  t.strictSame(ranges(['192.0.2.0/24']).elements('KUBE-LOAD-BALANCER-SOURCE-IP'), [
    '203.0.113.9,tcp:80,203.0.113.9',
  ]);
});

t.test('schedulers, flags and weights', async (t) => {
  const serverLines = (options: Record<string, string>, fields: Partial<IpvsSettings> = {}) =>
    fresh([service({ options }), slice([HERE, ELSEWHERE])], fields).lines;
  const first = (...args: Parameters<typeof serverLines>) => serverLines(...args)[0];
  t.equal(first({}), '-A -t 10.96.0.10:80 -s rr');
  t.equal(first({}, { scheduler: 'wlc' }), '-A -t 10.96.0.10:80 -s wlc');
  t.equal(first({ algorithm: 'round-robin' }, { scheduler: 'wlc' }), '-A -t 10.96.0.10:80 -s rr');
  t.equal(first({ algorithm: 'random' }, { scheduler: 'wlc' }), '-A -t 10.96.0.10:80 -s rr');
  t.equal(first({ algorithm: 'source-hash' }), '-A -t 10.96.0.10:80 -s sh -b sh-fallback');
  t.equal(first({ algorithm: 'maglev' }), '-A -t 10.96.0.10:80 -s mh -b mh-fallback');
  t.equal(first({ algorithm: 'mh' }), '-A -t 10.96.0.10:80 -s mh -b mh-fallback,mh-port');
  t.equal(first({ algorithm: 'lblcr' }), '-A -t 10.96.0.10:80 -s lblcr');
  t.equal(
    first({ algorithm: 'magle' }, { scheduler: 'wlc' }),
    '-A -t 10.96.0.10:80 -s wlc',
    'a mistake is no wish',
  );
  t.strictSame(serverLines({ weights: '{"10.244.0.5": 3}' }), [
    '-A -t 10.96.0.10:80 -s wrr',
    '-a -t 10.96.0.10:80 -r 10.244.0.5:8080 -m -w 3',
    '-a -t 10.96.0.10:80 -r 10.244.1.6:8080 -m -w 1',
  ]);
  t.match(serverLines({ weights: '{"10.244.0.5": 0, "10.244.1.6": 0}' })[1], / -w 1$/, 'all 0 are all 1');
  const sticky = fresh([service({ affinitySeconds: 77 }), slice([HERE])]).lines;
  t.equal(sticky[0], '-A -t 10.96.0.10:80 -s rr -p 77');
  const local = fresh([
    loadBalancer({ affinitySeconds: 77, externalTrafficPolicy: 'Local' }),
    slice([HERE, ELSEWHERE]),
  ]).lines;
  const servers = local.filter((line) => line.startsWith('-A'));
  t.ok(servers.some((line) => line.includes(' -f ')));
  for (const line of servers)
    t.match(
      line,
      line.includes(' -f ') ? / -s sh -b sh-fallback$/ : / -p 77$/,
      'a persistent mark leaves ports as they are',
    );
});

t.test('a VIP and a node port at one address and port: the VIP has it, then the node port', async (t) => {
  const table = tableOf([
    service({
      name: 'vip',
      clusterIPs: { IPv4: ip('10.96.0.1') },
      ports: [port({ port: 30080 })],
      externalIPs: [ip('192.0.2.1')],
    }),
    service({ name: 'cart', type: 'NodePort', ports: [port({ nodePort: 30080 })] }),
    slice([HERE]),
    slice([ELSEWHERE], { name: 'vip-1', serviceName: 'vip' }),
  ]);
  const desired = new DesiredState(settingsOf([]));
  for (const { after } of table.commit().families.IPv4) desired.replace(undefined, after, nothingTouched());
  const key = '192.0.2.1:30080/TCP';
  t.equal(desired.server(key)?.owner, 'shop/vip/TCP');
  table.apply([{ type: 'delete', ref: { kind: 'Service', namespace: 'shop', name: 'vip' } }]);
  const touched = nothingTouched();
  for (const { before, after } of table.commit().families.IPv4) desired.replace(before, after, touched);
  t.equal(desired.server(key)?.owner, 'shop/cart/TCP');
  const plan = planChanges(desired, touched, new Drains());
  t.strictSame(
    [...plan.additions, ...plan.removals].map(({ change }) => printChange(change)),
    [
      '-a -t 192.0.2.1:30080 -r 10.244.0.5:8080 -m -w 1',
      '-D -t 10.96.0.1:30080',
      '-e -t 192.0.2.1:30080 -r 10.244.1.6:8080 -m -w 0',
    ],
  );
});

t.test('one changed endpoint is two messages, whatever else there is', async (t) => {
  const others = Array.from({ length: 50 }, (_, i) =>
    service({ name: `s${i}`, clusterIPs: { IPv4: ip(`10.96.1.${i}`) } }),
  );
  const table = tableOf([...others, service(), slice([endpoint('10.244.1.1'), endpoint('10.244.1.2')])]);
  const desired = new DesiredState(settingsOf([]));
  for (const { after } of table.commit().families.IPv4) desired.replace(undefined, after, nothingTouched());
  const change = (...addresses: string[]) => {
    table.apply([upsert(slice(addresses.map((address) => endpoint(address))))]);
    const touched = nothingTouched();
    for (const { before, after } of table.commit().families.IPv4) desired.replace(before, after, touched);
    const plan = planChanges(desired, touched, new Drains());
    t.equal(plan.size, plan.additions.length + plan.removals.length, 'nothing but IPVS');
    return [...plan.additions, ...plan.removals].map((each) => printChange(each.change));
  };
  t.strictSame(change('10.244.1.1', '10.244.1.3'), [
    '-a -t 10.96.0.10:80 -r 10.244.1.3:8080 -m -w 1',
    '-e -t 10.96.0.10:80 -r 10.244.1.2:8080 -m -w 0',
  ]);
  t.strictSame(change('10.244.1.1'), ['-e -t 10.96.0.10:80 -r 10.244.1.3:8080 -m -w 0']);
  t.strictSame(change('10.244.1.1', '10.244.1.9'), ['-a -t 10.96.0.10:80 -r 10.244.1.9:8080 -m -w 1']);
});

t.test('who goes: TCP is drained, UDP and dh go at once', async (t) => {
  const leaving = (fields: Partial<Service>, protocol: 'TCP' | 'UDP') => {
    const ports = [{ name: '', protocol, port: 8080 }];
    const table = tableOf([
      service({ ...fields, ports: [port({ protocol })] }),
      slice([HERE, ELSEWHERE], { ports }),
    ]);
    const desired = new DesiredState(settingsOf([]));
    for (const { after } of table.commit().families.IPv4) desired.replace(undefined, after, nothingTouched());
    table.apply([upsert(slice([HERE, endpoint('10.244.1.6', SERVING_TERMINATING)], { ports }))]);
    const touched = nothingTouched();
    for (const { before, after } of table.commit().families.IPv4) desired.replace(before, after, touched);
    const plan = planChanges(desired, touched, new Drains());
    return { lines: plan.removals.map(({ change }) => printChange(change)), draining: plan.draining.length };
  };
  t.strictSame(leaving({}, 'TCP'), {
    lines: ['-e -t 10.96.0.10:80 -r 10.244.1.6:8080 -m -w 0'],
    draining: 1,
  });
  t.strictSame(leaving({}, 'UDP'), { lines: ['-d -u 10.96.0.10:80 -r 10.244.1.6:8080'], draining: 0 });
  t.strictSame(leaving({ options: { algorithm: 'dh' } }, 'TCP'), {
    lines: ['-d -t 10.96.0.10:80 -r 10.244.1.6:8080'],
    draining: 0,
  });
});
