/** What /metrics says of connections through the proxy, against what the two ends counted themselves. */
import { connect, createServer } from 'node:net';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import { type ParsedSeries, parseMetrics, seriesValue } from '../../unit/observe/parseMetrics.js';

const VIP = '172.30.0.1';
const ANSWERS = '10.2.0.1';
const REFUSES = '10.2.0.2';

async function scrape(): Promise<readonly ParsedSeries[]> {
  const page = await fetch('http://127.0.0.1:10249/metrics');
  return parseMetrics(await page.text());
}

/** Sends `first`, and each answer is followed by the next part; resolves with the bytes that came. */
function talk(parts: readonly Buffer[]): Promise<number> {
  const [first, ...rest] = parts;
  return new Promise((resolve, reject) => {
    let received = 0;
    let due = 0;
    const socket = connect({ host: VIP, port: 80, timeout: 10_000 });
    const say = (part: Buffer | undefined) => {
      if (part === undefined) return socket.end();
      due += part.length;
      return socket.write(part);
    };
    socket.on('data', (chunk) => {
      received += chunk.length;
      if (received === due) say(rest.shift());
    });
    socket.on('timeout', () => socket.destroy(new Error('no answer')));
    socket.on('error', reject);
    socket.on('close', () => resolve(received));
    say(first);
  });
}

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up; ip link add out type veth peer name peer; ip link set out up');
  shell('ip addr add 192.168.77.1/24 dev out; ip route add default dev out');
  for (const address of [ANSWERS, REFUSES]) shell(`ip addr add ${address}/32 dev lo`);
  const echo = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => echo.listen(8080, ANSWERS, resolve));
  t.teardown(() => echo.close());

  t.test('connections, bytes, retries and ejections', async (t) => {
    await using agent = new AgentProcess('mode: userspace\npenstock: {endpointMetricsLimit: 100}\n');
    agent.write('web.json', shopObjects({ name: 'web', clusterIP: VIP, endpoints: [ANSWERS, REFUSES] }));
    agent.start();
    t.ok(await agent.ready());

    // Before and after there is an endpoint, copied and spliced.
    const parts = [5, 7, 300_000].map((length) => Buffer.alloc(length, 'x'));
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    const count = 20;
    for (let i = 0; i < count; i++) t.equal(await talk(parts), bytes);

    let page: readonly ParsedSeries[] = [];
    const value = (name: string, labels = {}) => seriesValue(page, `penstock_proxy_${name}`, labels);
    const isIdle = async () => {
      page = await scrape();
      return value('connections_active') === 0;
    };
    t.ok(await eventually(isIdle));
    const kept = value('descriptors') ?? count;
    t.ok(kept < count, `${kept} descriptors are kept for later connections`);
    t.equal(value('service_port_connections_total', { service: 'web' }), count);
    t.equal(value('service_port_failed_total', { service: 'web' }), 0);
    t.equal(value('service_port_endpoints_ejected', { service: 'web' }), 1);

    const [good, bad] = [{ endpoint: `${ANSWERS}:8080` }, { endpoint: `${REFUSES}:8080` }];
    t.equal(value('endpoint_connections_total', good), count);
    t.equal(value('endpoint_bytes_total', { ...good, direction: 'to' }), count * bytes);
    t.equal(value('endpoint_bytes_total', { ...good, direction: 'from' }), count * bytes);
    t.equal(value('endpoint_connections_active', good), 0);
    t.equal(value('endpoint_ejected', good), 0);

    const refused = value('endpoint_failures_total', { ...bad, reason: 'refused' }) ?? 0;
    t.ok(refused >= 1, `${refused} attempts were refused`);
    t.equal(value('service_port_retries_total', { service: 'web' }), refused, 'each led to another');
    t.equal(value('endpoint_failures_total', { ...bad, reason: 'timeout' }), 0);
    t.equal(value('endpoint_connections_total', bad), 0);
    t.equal(value('endpoint_ejected', bad), 1);
    t.equal(await agent.end('SIGTERM'), 0);
  });
}
