/** The page: everything escaped, read only, for loopback names only, paged, and there without an agent. */

import { get, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { PenstockError } from '../../../../src/errors.js';
import type { IpAddress } from '../../../../src/net/ip.js';
import type { PageSource } from '../../../../src/observe/page/PageSource.js';
import { isOwnHost, startPageServer } from '../../../../src/observe/page/pageServer.js';
import { systemClock } from '../../../../src/time/Clock.js';

const EVIL = '<img src=x onerror=alert(1)>"\'&\u202e\u001b[31m';
const ESCAPED = '&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;';

const STATUS = {
  version: '1',
  mode: 'nftables',
  description: EVIL,
  node: EVIL,
  startedAt: 0,
  ready: true,
  waitingFor: '',
  sources: [{ resource: 'Services', connected: false, reason: EVIL }],
  counts: {
    services: 1,
    servicePorts: 1,
    endpoints: 1,
    withoutEndpoints: 1,
    withoutLocalEndpoints: 0,
    asleep: 0,
  },
  problemCount: 1,
  residentMemory: 1 << 20,
};
const SERVICE = {
  key: EVIL,
  service: EVIL,
  portName: EVIL,
  protocol: 'TCP',
  port: 80,
  nodePort: 0,
  clusterIPs: ['10.96.0.10'],
  externalIPs: [],
  loadBalancerIPs: [],
  internalPolicy: 'Cluster',
  externalPolicy: 'Cluster',
  affinitySeconds: null,
  sourceRanges: [],
  endpoints: { all: 1, serving: 0, here: 0 },
  state: 'no endpoints',
};
const FLOW = {
  number: 1,
  time: '2026-01-01T00:00:00.000Z',
  node: EVIL,
  reason: 'no-endpoints',
  client: EVIL,
  clientPod: EVIL,
  service: EVIL,
  destination: '10.96.0.10',
  port: 80,
  protocol: 'TCP',
  count: 3,
};
const ANSWERS: Readonly<Record<string, unknown>> = {
  '/v1/status': STATUS,
  '/v1/services': { items: [SERVICE], next: EVIL },
  '/v1/endpoints': {
    items: [{ endpoint: EVIL, pod: EVIL, node: EVIL, here: true, condition: 'ready', serves: 'all' }],
    next: '',
  },
  '/v1/flows': { items: [FLOW], next: '' },
  '/v1/syncs': {
    items: [{ time: FLOW.time, family: 'IPv4', kind: 'full', written: 1, milliseconds: 1, failure: EVIL }],
  },
  '/v1/problems': { items: [{ subject: EVIL, message: EVIL, where: EVIL }] },
};

class Source implements PageSource {
  readonly asked: string[] = [];
  readonly followers = new Set<() => void>();

  async ask(path: string, words: Readonly<Record<string, string>> = {}): Promise<unknown> {
    this.asked.push(`${path}?${new URLSearchParams(words)}`);
    if (path === '/v1/explain') throw new PenstockError('PENSTOCK_WRONG_CALL', EVIL, { remedy: EVIL });
    return ANSWERS[path];
  }

  follow(heard: () => void): () => void {
    this.followers.add(heard);
    return () => this.followers.delete(heard);
  }
}

interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

async function serve(t: Test, source: PageSource) {
  const server = await startPageServer({
    host: '127.0.0.1' as IpAddress,
    port: 0,
    source,
    clock: systemClock,
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const ask = (path: string, { method = 'GET', host = `localhost:${port}` } = {}) =>
    new Promise<Got>((resolve, reject) => {
      request({ port, path, method, headers: { host } }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
      })
        .on('error', reject)
        .end();
    });
  return { port, ask };
}

t.test('whatever objects are called, nothing of it becomes markup or moves a terminal', async (t) => {
  const { ask } = await serve(t, new Source());
  const paths = [
    '/',
    '/services',
    '/failures',
    '/syncs',
    '/conflicts',
    `/service?name=${encodeURIComponent(EVIL)}`,
  ];
  paths.push(`/services?q=${encodeURIComponent(EVIL)}`, `/failures?q=${encodeURIComponent('<')}`);
  paths.push(`/explain?client=${encodeURIComponent(EVIL)}&to=${encodeURIComponent(EVIL)}`);
  for (const path of paths) {
    const { status, body } = await ask(path);
    t.equal(status, 200, path);
    for (const raw of ['<img', '\u202e', '\u001b']) t.notOk(body.includes(raw), path);
    t.match(body, ESCAPED, path);
  }
});

t.test('a strict policy on every answer, no inline script', async (t) => {
  const { ask } = await serve(t, new Source());
  for (const path of ['/', '/services', '/nothing', '/style.css', '/page.js']) {
    const { headers, body } = await ask(path);
    t.match(headers['content-security-policy'], /default-src 'none'; style-src 'self'; script-src 'self'/);
    t.equal(headers['x-content-type-options'], 'nosniff');
    t.equal(headers['cross-origin-resource-policy'], 'same-origin');
    t.notMatch(body, /<script>| style=| on(click|load|error)="/);
  }
});

t.test('read only, and for loopback names only', async (t) => {
  const { ask, port } = await serve(t, new Source());
  for (const method of ['POST', 'PUT', 'DELETE']) t.equal((await ask('/', { method })).status, 405, method);
  t.equal((await ask('/', { method: 'HEAD' })).status, 200);
  for (const host of [
    'evil.example',
    `evil.example:${port}`,
    '10.0.0.1',
    'localhost.evil.example',
    '127.0.0.1.nip.io',
  ])
    t.equal((await ask('/', { host })).status, 421, host);
  for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1:10255', '127.1.2.3', '[::1]:8080'])
    t.ok(isOwnHost(host), host);
});

t.test('odd paths and words are answered', async (t) => {
  const { ask } = await serve(t, new Source());
  t.equal((await ask('/nothing')).status, 404);
  t.equal((await ask('//')).status, 404);
  for (const path of [
    '/services?after=%00&q=%ff',
    `/services?q=${'x'.repeat(4000)}`,
    '/explain',
    '/explain?client=a',
  ])
    t.equal((await ask(path)).status, 200, path);
});

t.test('services are searched and paged by the agent', async (t) => {
  const source = new Source();
  const { ask } = await serve(t, source);
  const { body } = await ask('/services?q=cart&state=problems&after=shop%2Fa');
  t.ok(
    source.asked.includes('/v1/services?part=cart&state=problems&after=shop%2Fa&limit=100'),
    source.asked.join(),
  );
  t.match(body, /rel="next">Next page/);
  t.match(body, /rel="first">First page/);
});

t.test('without an agent: said, with status 503', async (t) => {
  const source: PageSource = {
    ask: async () => {
      throw new PenstockError('PENSTOCK_NO_AGENT', 'no agent answers on this node', { remedy: 'Start it.' });
    },
    follow: (_, ended) => {
      setImmediate(ended);
      return () => {};
    },
  };
  const { ask } = await serve(t, source);
  t.match(await ask('/'), { status: 503, body: /no agent answers on this node\. Start it\./ });
  t.match(await ask('/events'), { status: 200, body: ': failures\n\n' });
});

t.test('failures are told as they happen, and nobody is followed for a reader who went', async (t) => {
  const source = new Source();
  const { port } = await serve(t, source);
  await new Promise<void>((resolve, reject) => {
    const asked = get({ port, path: '/events', headers: { host: 'localhost' } }, (response) => {
      response.setEncoding('utf8').on('data', (chunk: string) => {
        if (chunk.startsWith(':')) for (const heard of source.followers) heard();
        else {
          t.match(chunk, 'event: failure');
          asked.destroy();
        }
      });
      response.on('error', () => {}).on('close', resolve);
    }).on('error', reject);
  });
  for (let i = 0; i < 100 && source.followers.size > 0; i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(source.followers.size, 0);
});
