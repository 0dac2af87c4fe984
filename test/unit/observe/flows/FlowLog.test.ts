/** Records of failed connections: one for the same again within ten seconds, bounded, followed as they happen. */
import { Registry } from 'prom-client';
import t from 'tap';
import type { IpFamily } from '../../../../src/net/ip.js';
import { type FailedPacket, FlowLog, type FlowRecord } from '../../../../src/observe/flows/FlowLog.js';
import { RefusalNotices } from '../../../../src/observe/flows/RefusalNotices.js';
import { ServiceNames } from '../../../../src/observe/flows/ServiceNames.js';
import { RefusalMetrics } from '../../../../src/observe/metrics/RefusalMetrics.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';

const packet = (fields: Partial<FailedPacket> = {}): FailedPacket => ({
  reason: 'no-endpoints',
  protocol: 'TCP',
  source: '10.244.1.7',
  destination: '10.96.0.10',
  destinationPort: 80,
  ...fields,
});

function flowLog() {
  const clock = new FakeClock();
  const names = () => ({ service: 'shop/cart:http', client: 'shop/web-1', endpoint: '' });
  return { clock, log: new FlowLog({ node: 'node1', names, clock, date: () => 0 }) };
}

t.test('the same within ten seconds is one record; then it is told again, with its count', async (t) => {
  const { clock, log } = flowLog();
  const heard: FlowRecord[] = [];
  const stop = log.follow((record) => heard.push(record));
  for (let i = 0; i < 5; i++) log.add(packet());
  log.add(packet({ destinationPort: 81, reason: 'unknown-port' }));
  t.strictSame(
    heard.map(({ reason, count }) => [reason, count]),
    [
      ['no-endpoints', 1],
      ['unknown-port', 1],
    ],
  );
  t.strictSame(
    log.records.map(({ number, count }) => [number, count]),
    [
      [1, 5],
      [2, 1],
    ],
  );
  t.match(log.records[0], {
    service: 'shop/cart:http',
    clientPod: 'shop/web-1',
    client: '10.244.1.7',
    destination: '10.96.0.10',
    port: 80,
    node: 'node1',
    time: '1970-01-01T00:00:00.000Z',
  });
  await clock.pass(10_001);
  const counts = () => heard.slice(2).map(({ number, count }) => [number, count]);
  t.strictSame(counts(), [[1, 5]], 'though nothing fails any more');
  log.add(packet());
  t.strictSame(
    counts(),
    [
      [1, 5],
      [3, 1],
    ],
    'then a new one',
  );
  stop();
  log.add(packet({ source: '10.244.1.8' }));
  t.equal(heard.length, 4);
  t.equal(clock.waiting, 0, 'nobody follows, and nothing waits');
});

t.test('who has a record keeps it as it was; what begins is told of once', (t) => {
  const begun: number[] = [];
  const names = () => ({ service: '', client: '', endpoint: '' });
  const clock = new FakeClock();
  const log = new FlowLog({
    node: 'node1',
    names,
    clock,
    date: () => 0,
    begun: ({ number }) => begun.push(number),
  });
  const first = log.add(packet());
  t.equal(log.add(packet()).number, first.number);
  const [then] = log.records;
  log.add(packet());
  t.same([first.count, then?.count, log.records[0]?.count], [1, 2, 3]);
  log.add(packet({ destinationPort: 81 }));
  t.same(begun, [1, 2]);
  t.end();
});

t.test('ten thousand are kept, whoever asks for more', async (t) => {
  const { log } = flowLog();
  for (let i = 0; i < 30_000; i++) log.add(packet({ source: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}` }));
  t.equal(log.records.length, 10_000);
  t.equal(log.records.at(-1)?.number, 30_000);
  t.equal(log.records[0]?.number, 20_001);
});

t.test('names of VIPs, node ports and pods', async (t) => {
  const table = tableOf([
    service({
      type: 'NodePort',
      ports: [port({ name: 'http', nodePort: 30_080 })],
      externalIPs: [ip('192.0.2.9')],
    }),
    slice([endpoint('10.244.1.7', { podName: 'cart-a' })]),
  ]);
  table.commit();
  let now = 0;
  let looks = 0;
  const seen = {
    servicePorts: (family: IpFamily) => {
      looks++;
      return table.servicePorts(family);
    },
    slices: () => table.slices(),
    get generation() {
      return table.generation;
    },
  };
  const names = new ServiceNames(seen, () => now);
  t.strictSame(names.of(packet()), {
    service: 'shop/cart:http',
    client: 'shop/cart-a',
    endpoint: '',
  });
  t.equal(names.of(packet({ endpoint: { address: ip('10.244.1.7'), port: 80 } })).endpoint, 'shop/cart-a');
  t.equal(names.of(packet({ destination: '192.0.2.9' })).service, 'shop/cart:http');
  t.equal(
    names.of(packet({ destination: '192.168.0.2', destinationPort: 30_080 })).service,
    'shop/cart:http',
  );
  t.equal(
    names.of(packet({ destinationPort: 81 })).service,
    'shop/cart',
    'the Service whose cluster IP it is',
  );
  t.strictSame(names.of(packet({ destination: '10.96.9.9', source: '203.0.113.1' })), {
    service: '',
    client: '',
    endpoint: '',
  });
  table.apply([{ type: 'upsert', object: service({ name: 'late', clusterIPs: { IPv4: ip('10.96.9.9') } }) }]);
  table.commit();
  t.equal(names.of(packet({ destination: '10.96.9.9' })).service, '', 'not at once');
  now = 2001;
  t.equal(names.of(packet({ destination: '10.96.9.9' })).service, 'shop/late');
  t.equal(looks, 4, 'twice in both families');
  now = 60_000;
  names.of(packet());
  t.equal(looks, 4, 'where nothing has changed nobody looks again');
});

t.test('the metric has a bound, and a scan of ports makes one series', async (t) => {
  const registry = new Registry();
  const metrics = new RefusalMetrics(registry);
  for (let i = 0; i < 3; i++) metrics.add({ service: 'shop/cart:http', port: 80, reason: 'no-endpoints' });
  for (let i = 1; i <= 1000; i++) metrics.add({ service: 'shop/cart', port: i, reason: 'unknown-port' });
  for (let i = 1; i <= 2000; i++) metrics.add({ service: `shop/s${i}`, port: 80, reason: 'no-endpoints' });
  const text = await registry.metrics();
  t.match(text, 'penstock_refused_total{namespace="shop",service="cart",port="80",reason="no-endpoints"} 3');
  t.match(text, 'penstock_refused_total{namespace="shop",service="cart",port="",reason="unknown-port"} 1000');
  t.match(text, 'penstock_refused_total{namespace="",service="(others)",port="",reason="no-endpoints"} 1502');
  t.ok(text.split('\n').length < 510);
  t.equal(await registry.metrics(), text, 'whoever reads it adds nothing');
  metrics.add({ service: 'shop/cart:other-name', port: 80, reason: 'no-endpoints' });
  metrics.add({ service: '', port: 80, reason: 'unknown-port' });
  const later = await registry.metrics();
  t.match(later, 'penstock_refused_total{namespace="shop",service="cart",port="80",reason="no-endpoints"} 4');
  t.match(later, 'penstock_refused_total{namespace="",service="(others)",port="",reason="unknown-port"} 1');
});

t.test('a Service is told once in ten minutes for each reason', async (t) => {
  const { log } = flowLog();
  let now = 0;
  const notices = new RefusalNotices(() => now);
  const record = log.add(packet());
  t.match(notices.of(record), {
    type: 'Warning',
    reason: 'ConnectionsFail',
    note: /^node node1: shop\/web-1 could not reach 10\.96\.0\.10 port 80\/TCP: no endpoint .* \(no-endpoints\)$/,
    regarding: { kind: 'Service', namespace: 'shop', name: 'cart' },
  });
  t.equal(notices.of(record), undefined);
  t.ok(notices.of({ ...record, reason: 'source-range' }));
  t.equal(notices.of({ ...record, service: '' }), undefined);
  now = 600_001;
  t.ok(notices.of(record));
  for (let i = 0; i < 5000; i++) notices.of({ ...record, service: `shop/s${i}` });
  t.equal(notices.of({ ...record, service: 'shop/one-more' }), undefined, 'bounded');
});
