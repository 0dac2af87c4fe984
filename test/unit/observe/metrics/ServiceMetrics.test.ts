import t from 'tap';
import { type CountedServicePort, ServiceMetrics } from '../../../../src/observe/metrics/ServiceMetrics.js';
import { type ParsedSeries, parseMetrics, seriesValue, textOf } from '../parseMetrics.js';

const CONNECTIONS = 'penstock_service_port_connections_total';
const BYTES = 'penstock_service_port_first_packet_bytes_total';

function counted(service: string, connections: number, family: 'IPv4' | 'IPv6' = 'IPv4'): CountedServicePort {
  const key = `shop/${service}:http/TCP`;
  const servicePort = { key, family, namespace: 'shop', service, port: 80, protocol: 'TCP' } as const;
  return { servicePort, connections, bytes: connections * 60 };
}

/** Scrapes with what service ports had counted by then. */
function scraper(limit: number): (...now: readonly CountedServicePort[]) => Promise<ParsedSeries[]> {
  let present: readonly CountedServicePort[] = [];
  const metrics = new ServiceMetrics({ limit, read: async () => present });
  return async (...now) => {
    present = now;
    return parseMetrics(await textOf(metrics.pieces()));
  };
}

function connections(page: readonly ParsedSeries[]): Record<string, number> {
  const own = page.filter(({ name }) => name === CONNECTIONS);
  return Object.fromEntries(own.map(({ labels, value }) => [labels.service, value]));
}

t.test('each service port has its labels and both counts', async (t) => {
  const page = await scraper(10)(counted('cart', 3), counted('cart', 4, 'IPv6'));
  const labels = { namespace: 'shop', service: 'cart', port: '80', protocol: 'TCP' };
  t.strictSame(page, [
    { name: CONNECTIONS, labels: { ...labels, ip_family: 'IPv4' }, value: 3 },
    { name: CONNECTIONS, labels: { ...labels, ip_family: 'IPv6' }, value: 4 },
    { name: BYTES, labels: { ...labels, ip_family: 'IPv4' }, value: 180 },
    { name: BYTES, labels: { ...labels, ip_family: 'IPv6' }, value: 240 },
  ]);
});

t.test('one series for all above the limit', async (t) => {
  const page = await scraper(2)(...[1, 2, 4, 8].map((n) => counted(`s${n}`, n)));
  t.strictSame(connections(page), { s1: 1, s2: 2, '(others)': 12 });
  const others = { namespace: '', service: '(others)', port: '', protocol: '', ip_family: '' };
  t.equal(seriesValue(page, BYTES, others), 12 * 60);
});

t.test('no series for others while there are none', async (t) => {
  t.strictSame(connections(await scraper(2)(counted('a', 1), counted('b', 0))), { a: 1, b: 0 });
});

t.test('a service port keeps its series when another comes before it', async (t) => {
  const scrape = scraper(2);
  await scrape(counted('b', 1), counted('c', 2));
  t.strictSame(connections(await scrape(counted('a', 7), counted('b', 1), counted('c', 2))), {
    b: 1,
    c: 2,
    '(others)': 7,
  });
});

t.test('a place that becomes free is taken; the sum of the others never falls', async (t) => {
  const scrape = scraper(1);
  t.strictSame(connections(await scrape(counted('a', 1), counted('b', 10), counted('c', 20))), {
    a: 1,
    '(others)': 30,
  });
  const later = [counted('b', 11), counted('c', 25)];
  t.strictSame(connections(await scrape(...later)), { b: 11, '(others)': 35 }, 'b took the place of a');
  t.strictSame(connections(await scrape(counted('b', 12))), { b: 12, '(others)': 35 }, 'c is gone');
  const again = await scrape(counted('b', 12), counted('c', 2));
  t.strictSame(connections(again), { b: 12, '(others)': 37 }, 'c is back and began anew');
  const flushed = await scrape(counted('b', 0), counted('c', 1));
  t.strictSame(connections(flushed), { b: 0, '(others)': 38 }, 'somebody flushed the map');
});

t.test('nothing to tell', async (t) => {
  const none = new ServiceMetrics({ limit: 0, read: () => Promise.reject(new Error('must not be read')) });
  t.equal(await textOf(none.pieces()), '', 'limit 0');
  const unknown = new ServiceMetrics({ limit: 1, read: async () => undefined });
  t.equal(await textOf(unknown.pieces()), '', 'nobody counts');
});

t.test('a time without counts changes nobody’s place', async (t) => {
  let present: readonly CountedServicePort[] | undefined = [counted('b', 1)];
  const metrics = new ServiceMetrics({ limit: 1, read: async () => present });
  const scrape = async () => connections(parseMetrics(await textOf(metrics.pieces())));
  t.strictSame(await scrape(), { b: 1 });
  present = undefined;
  t.strictSame(await scrape(), {});
  present = [counted('a', 5), counted('b', 2)];
  t.strictSame(await scrape(), { b: 2, '(others)': 5 });
});
