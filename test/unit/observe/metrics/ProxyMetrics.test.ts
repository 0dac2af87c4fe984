import { readFileSync } from 'node:fs';
import t from 'tap';
import { type ProxyFigures, ProxyMetrics } from '../../../../src/observe/metrics/ProxyMetrics.js';
import { fromRoot } from '../../../support/fromRoot.js';
import { parseMetrics, seriesValue, textOf } from '../parseMetrics.js';

type Figures = ProxyFigures['servicePorts'] extends Iterable<infer Each> ? Each : never;

function figures(service: string, connections: number, fields: Partial<Figures> = {}): Figures {
  const key = `shop/${service}:http/TCP`;
  return {
    servicePort: { key, family: 'IPv4', namespace: 'shop', service, port: 80, protocol: 'TCP' },
    connections,
    active: 2,
    retries: 3 * connections,
    failed: 1,
    ejected: 1,
    endpoints: [
      {
        target: '10.0.0.1:8080',
        connections: connections - 1,
        active: 1,
        refused: 4,
        timedOut: 5,
        bytesTo: 600,
        bytesFrom: 7000,
        isEjected: true,
      },
    ],
    ...fields,
  };
}

function page(limit: number, ...servicePorts: readonly Figures[]): Promise<string> {
  const read = () => ({ active: 7, unknown: 8, descriptors: 9, servicePorts });
  return textOf(new ProxyMetrics({ limit, endpointLimit: 1000, read }).pieces());
}

t.test('the whole proxy', async (t) => {
  const text = await page(10);
  t.match(text, /^penstock_proxy_connections_active 7$/m);
  t.match(text, /^penstock_proxy_unknown_connections_total 8$/m);
  t.match(text, /^penstock_proxy_descriptors 9$/m);
});

t.test('each service port and each endpoint', async (t) => {
  const series = parseMetrics(await page(10, figures('cart', 10), figures('till', 20)));
  const of = (name: string, labels: Readonly<Record<string, string>>) =>
    seriesValue(series, `penstock_proxy_${name}`, { namespace: 'shop', port: '80', ...labels });
  const cart = { service: 'cart', protocol: 'TCP', ip_family: 'IPv4' };
  t.equal(of('service_port_connections_total', cart), 10);
  t.equal(of('service_port_connections_total', { service: 'till' }), 20);
  t.equal(of('service_port_connections_active', cart), 2);
  t.equal(of('service_port_retries_total', cart), 30);
  t.equal(of('service_port_failed_total', cart), 1);
  t.equal(of('service_port_endpoints_ejected', cart), 1);
  const endpoint = { ...cart, endpoint: '10.0.0.1:8080' };
  t.equal(of('endpoint_connections_total', endpoint), 9);
  t.equal(of('endpoint_connections_active', endpoint), 1);
  t.equal(of('endpoint_failures_total', { ...endpoint, reason: 'refused' }), 4);
  t.equal(of('endpoint_failures_total', { ...endpoint, reason: 'timeout' }), 5);
  t.equal(of('endpoint_bytes_total', { ...endpoint, direction: 'to' }), 600);
  t.equal(of('endpoint_bytes_total', { ...endpoint, direction: 'from' }), 7000);
  t.equal(of('endpoint_ejected', endpoint), 1);
});

t.test('above the limit service ports are one series, and their endpoints none', async (t) => {
  let present = [figures('a', 1), figures('b', 10), figures('c', 20)];
  const metrics = new ProxyMetrics({
    limit: 1,
    endpointLimit: 1000,
    read: () => ({ active: 0, unknown: 0, descriptors: 0, servicePorts: present }),
  });
  const others = async (name: string) =>
    seriesValue(parseMetrics(await textOf(metrics.pieces())), `penstock_proxy_service_port_${name}`, {
      service: '(others)',
    });
  t.equal(await others('connections_total'), 30);
  t.equal(await others('connections_active'), 4);
  t.equal(await others('endpoints_ejected'), 2);
  present = [figures('a', 1), figures('c', 25)];
  t.equal(await others('connections_total'), 35, 'what b counted stays in the sum');
  t.equal(await others('retries_total'), 105);
  t.equal(await others('connections_active'), 2, 'what b had open does not');
  const named = parseMetrics(await textOf(metrics.pieces())).filter(
    ({ labels }) => labels.endpoint !== undefined,
  );
  t.strictSame(new Set(named.map(({ labels }) => labels.service)), new Set(['a']));
});

t.test('limit 0: the proxy as a whole only; no proxy: nothing', async (t) => {
  const series = parseMetrics(await page(0, figures('cart', 10)));
  t.equal(series.length, 3);
  const none = new ProxyMetrics({ limit: 10, endpointLimit: 10, read: () => undefined });
  t.equal(await textOf(none.pieces()), '');
});

t.test('docs/metrics.md speaks of all of them, and of no others', async (t) => {
  const docs = readFileSync(fromRoot('docs/metrics.md'), 'utf8');
  const documented = [...docs.matchAll(/^\| `(penstock_proxy_\w+)` \| (\w+) \|/gm)];
  const types = [...(await page(10, figures('cart', 10))).matchAll(/^# TYPE (\w+) (\w+)$/gm)];
  const pairs = (matches: readonly RegExpMatchArray[]) => matches.map(([, name, type]) => `${name} ${type}`);
  t.strictSame(pairs(documented), pairs(types));
});

t.test('series of endpoints are bounded, and off unless they are asked for', async (t) => {
  const endpoints = Array.from({ length: 10 }, (_, i) => ({
    ...[...figures('x', 1).endpoints][0],
    target: `10.0.0.${i}:80`,
  })) as unknown as Figures['endpoints'];
  const servicePorts = Array.from({ length: 1200 }, (_, i) => figures(`s${i}`, 1, { endpoints }));
  const textWith = (endpointLimit: number) =>
    textOf(
      new ProxyMetrics({
        limit: 1200,
        endpointLimit,
        read: () => ({ active: 0, unknown: 0, descriptors: 0, servicePorts }),
      }).pieces(),
    );
  const lines = (text: string) =>
    text.split('\n').filter((line) => line.startsWith('penstock_proxy_endpoint_')).length;
  t.equal(lines(await textWith(0)), 0);
  t.equal(lines(await textWith(100)), 700);
  // All 84,000 of them: a neighbour has its turns. Measured is processor time, as other processes take theirs.
  let longest = 0;
  let before = process.cpuUsage();
  const neighbour = setInterval(() => {
    const { user, system } = process.cpuUsage(before);
    longest = Math.max(longest, (user + system) / 1000);
    before = process.cpuUsage();
  }, 0);
  const text = await textWith(100_000);
  clearInterval(neighbour);
  t.equal(lines(text), 84_000);
  t.ok(longest > 0 && longest < 1000, `at most ${longest.toFixed(1)} ms of processor time between two turns`);
});

/** Each piece of work takes a whole turn. */
class ShortTurns {
  taken = 0;

  isOver(): boolean {
    return true;
  }

  async next(): Promise<void> {
    this.taken++;
  }
}

t.test(
  '10,000 service ports are looked at, shared out and written in turns, whether they are named or not',
  async (t) => {
    const all = Array.from({ length: 10_000 }, (_, i) => figures(`s${i}`, i));
    let lookedAt = 0;
    const turns = new ShortTurns();
    // How many were looked at in one turn.
    let most = 0;
    let last = 0;
    turns.next = async () => {
      turns.taken++;
      most = Math.max(most, lookedAt - last);
      last = lookedAt;
    };
    function* servicePorts() {
      for (const each of all) {
        lookedAt++;
        yield each;
      }
    }
    const read = () => ({ active: 0, unknown: 0, descriptors: 0, servicePorts: servicePorts() });
    const metrics = new ProxyMetrics({ limit: 1000, endpointLimit: 1000, read });
    const pieces: string[] = [];
    for await (const piece of metrics.pieces(turns)) pieces.push(piece);
    t.equal(lookedAt, 10_000, 'once each');
    t.equal(most, 1);
    t.ok(turns.taken >= 20_000, `${turns.taken} turns`);
    const longest = Math.max(...pieces.map((piece) => piece.split('\n').length));
    t.ok(longest <= 70, `${longest} lines at once`);
    const text = pieces.join('');
    t.equal(text.split('\n').filter((line) => line.startsWith('penstock_proxy_endpoint_')).length, 7000);
  },
);

t.test('two scrapes at once count nothing twice', async (t) => {
  let connections = 10;
  const read = () => ({
    active: 0,
    unknown: 0,
    descriptors: 0,
    servicePorts: [figures('a', 1), figures('b', connections), figures('c', connections)],
  });
  const metrics = new ProxyMetrics({ limit: 1, endpointLimit: 0, read });
  const others = async () =>
    seriesValue(
      parseMetrics(await textOf(metrics.pieces(new ShortTurns()))),
      'penstock_proxy_service_port_connections_total',
      { service: '(others)' },
    );
  t.strictSame(await Promise.all([others(), others(), others()]), [20, 20, 20]);
  connections = 15;
  t.strictSame(await Promise.all([others(), others()]), [30, 30]);
});
