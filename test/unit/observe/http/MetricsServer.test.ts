import type { AddressInfo } from 'node:net';
import t from 'tap';
import { type LongPage, type Page, startMetricsServer } from '../../../../src/observe/http/MetricsServer.js';
import { ip } from '../../../support/builders.js';

let page: () => Promise<string> = async () => 'up 1\n';
let pieces: () => AsyncIterable<string>;
const server = await startMetricsServer({
  host: ip('127.0.0.1'),
  port: 0,
  pages: new Map<string, Page | LongPage>([
    ['/metrics', { contentType: 'text/plain; version=0.0.4; charset=utf-8', body: () => page() }],
    ['/long', { contentType: 'text/plain; charset=utf-8', pieces: () => pieces() }],
    ['/healthz', { contentType: 'text/plain; charset=utf-8', body: () => 'ok' }],
  ]),
});
t.teardown(() => server.close());
const { port } = server.address() as AddressInfo;

async function ask(path: string): Promise<readonly [status: number, type: string | null, body: string]> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return [response.status, response.headers.get('content-type'), await response.text()];
}

t.test('answers', async (t) => {
  const plain = 'text/plain; charset=utf-8';
  const metrics = [200, 'text/plain; version=0.0.4; charset=utf-8', 'up 1\n'] as const;
  t.strictSame(await ask('/metrics'), metrics);
  t.strictSame(await ask('/metrics?name[]=up'), metrics);
  t.strictSame(await ask('/healthz'), [200, plain, 'ok']);
  t.strictSame(await ask('/'), [404, plain, '404 page not found\n']);
  t.strictSame(await ask('/metricsx'), [404, plain, '404 page not found\n']);
});

t.test('a page that fails is an error, and the next one is tried', async (t) => {
  page = () => Promise.reject(new Error('no counters'));
  t.strictSame(await ask('/metrics'), [500, 'text/plain; charset=utf-8', 'no counters\n']);
  page = async () => 'up 2\n';
  t.equal((await ask('/metrics'))[2], 'up 2\n');
});

t.test(
  'a page in pieces arrives whole, with its length in bytes; one that fails in the middle is an error',
  async (t) => {
    pieces = async function* () {
      for (let i = 0; i < 5000; i++) yield `ü ${i}\n`;
    };
    const whole = Array.from({ length: 5000 }, (_, i) => `ü ${i}\n`).join('');
    const response = await fetch(`http://127.0.0.1:${port}/long`);
    t.equal(response.headers.get('content-length'), String(Buffer.byteLength(whole)));
    t.equal(await response.text(), whole);
    pieces = async function* () {
      yield 'half';
      throw new Error('no counters');
    };
    t.strictSame(await ask('/long'), [500, 'text/plain; charset=utf-8', 'no counters\n']);
  },
);

t.test('an address that is taken', async (t) => {
  const again = startMetricsServer({ host: ip('127.0.0.1'), port, pages: new Map() });
  await t.rejects(again, { code: 'EADDRINUSE' });
});
