/** What the client tells of its requests. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { ApiClient } from '../../../../src/kubernetes/http/ApiClient.js';
import { NOBODY } from '../../../../src/kubernetes/kubeconfig/Connection.js';
import { Credentials } from '../../../../src/kubernetes/kubeconfig/Credentials.js';

interface Told {
  readonly answered: string[];
  readonly completed: string[];
}

async function observed(t: Test): Promise<{ client: ApiClient; host: string; told: Told; stop: () => void }> {
  const server = createServer((request, response) => {
    request.resume();
    if (request.url === '/cut') {
      response.writeHead(200, { 'content-length': 100 }).write('half');
      setTimeout(() => response.destroy(), 20);
    } else if (request.url?.includes('watch')) response.end('{"type":"ADDED"}\n');
    else response.writeHead(request.method === 'GET' ? 200 : 201).end('12345');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const connection = {
    server: `http://${host}`,
    ca: undefined,
    tlsServerName: undefined,
    verify: 'certificate',
    proxy: undefined,
    compression: 'none',
    user: NOBODY,
  } as const;
  const client = new ApiClient(connection, new Credentials(connection, Date.now), 'penstock/test');
  t.teardown(async () => {
    await client.close();
    stop();
  });
  const told: Told = { answered: [], completed: [] };
  client.observer = {
    answered: (method, at, status) => told.answered.push(`${method} ${at} ${status}`),
    completed: ({ method, host: at, milliseconds, sentBytes, receivedBytes }) => {
      t.ok(milliseconds > 0 && milliseconds < 10_000, 'a time');
      told.completed.push(`${method} ${at} ${sentBytes} ${receivedBytes}`);
    },
  };
  return { client, host, told, stop };
}

async function read(client: ApiClient, path: string): Promise<string> {
  let text = '';
  const { body } = await client.get(path, new AbortController().signal);
  for await (const chunk of body) text += Buffer.from(chunk).toString();
  return text;
}

t.test('each request, and how it ended', async (t) => {
  const { client, host, told } = await observed(t);
  t.equal(await read(client, '/api/v1/services?limit=500'), '12345');
  t.equal(await client.send('POST', '/events', { a: 'ü' }), 201);
  t.strictSame(told.answered, [`GET ${host} 200`, `POST ${host} 201`]);
  t.strictSame(told.completed, [`GET ${host} 0 5`, `POST ${host} 10 5`], 'bytes, not characters');
});

t.test('a watch is answered, and its end is nobody’s business', async (t) => {
  const { client, host, told } = await observed(t);
  t.match(await read(client, '/api/v1/services?watch=1'), 'ADDED');
  t.strictSame(told, { answered: [`GET ${host} 200`], completed: [] });
});

t.test('an answer that breaks off was one all the same', async (t) => {
  const { client, host, told } = await observed(t);
  await t.rejects(read(client, '/cut'));
  await t.rejects(client.send('POST', '/cut', {}));
  t.strictSame(told.answered, [`GET ${host} 200`, `POST ${host} 200`]);
  t.strictSame(told.completed, [`GET ${host} 0 4`, `POST ${host} 2 4`]);
});

t.test('no answer', async (t) => {
  const { client, host, told, stop } = await observed(t);
  stop();
  await t.rejects(client.send('POST', '/events', {}), { code: 'PENSTOCK_API_UNREACHABLE' });
  await t.rejects(read(client, '/api'), { code: 'PENSTOCK_API_UNREACHABLE' });
  t.strictSame(told, { answered: [`POST ${host} undefined`, `GET ${host} undefined`], completed: [] });
});
