/** status, services, endpoints, connections, explain beside a running agent, and after it was killed. */
import { execFile } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import { AgentClient } from '../../../src/cli/see/AgentClient.js';
import { agentNote, lockFile } from '../../../src/kernel/host/stateFiles.js';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { adminSocket } from '../../support/adminSocket.js';
import { inNetns } from '../../support/inNetns.js';
import { plain, shell } from '../../support/iptables.js';
import { nodeWithOutside } from '../../support/nodeWithOutside.js';

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function penstock(...words: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    const [file, args] = plain(PENSTOCK, ...words);
    execFile(file, args, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err });
    });
  });
}

const json = async (...words: readonly string[]) => {
  const { code, out } = await penstock(...words, '-o', 'json');
  return { code, value: JSON.parse(out) as unknown };
};

function objects(): object[] {
  const service = (name: string, clusterIP: string) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { clusterIP, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
  });
  return [
    service('cart', '172.30.0.10'),
    service('empty', '172.30.0.11'),
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'cart-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'cart' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: [
        { addresses: ['10.1.0.1'], nodeName: 'node1', targetRef: { kind: 'Pod', name: 'cart-a' } },
        {
          addresses: ['10.1.0.2'],
          nodeName: 'node1',
          conditions: { ready: false },
          targetRef: { kind: 'Pod', name: 'cart-b' },
        },
      ],
    },
  ];
}

/** The status of a request to the admin socket. */
async function raw(method: string, path: string): Promise<number> {
  const socketPath = await adminSocket();
  return new Promise((resolve, reject) => {
    request({ socketPath, method, path }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
}

/** What status says of the elements that it read back. */
async function kernelTest(): Promise<object | undefined> {
  const { tests } = (await json('status')).value as { tests: { name: string }[] };
  return tests.find(({ name }) => name === 'kernel');
}

if (await inNetns(import.meta.url)) {
  nodeWithOutside('10.1.0.1');
  const agent = new AgentProcess('mode: nftables\n');
  t.teardown(() => agent[Symbol.asyncDispose]());
  agent.write('objects.json', objects());
  agent.start();
  await agent.ready();
  const held = new Set<Socket>();
  const server = createServer((socket) => held.add(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(8080, '10.1.0.1', resolve));
  const client = await new Promise<Socket>((resolve) => {
    const socket = connect({ host: '172.30.0.10', port: 80 }, () => resolve(socket));
  });
  t.teardown(() => {
    // When the table is gone the namespace tracks no connections: the end of one side does not reach the other.
    for (const socket of [client, ...held]) socket.destroy();
    server.close();
  });

  t.test('a running agent answers', async (t) => {
    const status = await json('status');
    t.match(status.value, {
      healthy: false,
      verdict: /1 service ports have no endpoints/,
      agent: { mode: 'nftables', node: 'node1', ready: true },
      counts: { services: 2, servicePorts: 2, endpoints: 2, withoutEndpoints: 1 },
      withoutEndpoints: ['shop/empty:http/TCP'],
    });
    const { tests } = status.value as { tests: { name: string; passed: boolean }[] };
    t.strictSame(
      tests.filter(({ name }) => name === 'connection').map(({ passed }) => passed),
      [true],
      'a connection was made',
    );
    t.match(
      tests.find(({ name }) => name === 'kernel'),
      { passed: true, says: 'has what a Service asks for: 2 read back' },
      'and its elements were read back',
    );
    t.equal(status.code, 1);

    const services = await json('services');
    t.match(services, {
      code: 1,
      value: {
        agent: true,
        items: [
          { service: 'shop/cart', state: 'ok', endpoints: { all: 2, serving: 1, here: 1 } },
          { service: 'shop/empty', state: 'no endpoints' },
        ],
      },
    });
    t.match(await penstock('services', 'cart'), {
      code: 0,
      out: /shop\/cart:http +80\/TCP +172\.30\.0\.10 +1 of 2, 1 here +ok/,
    });

    const endpoints = await json('endpoints', 'shop/cart');
    t.match(endpoints, {
      code: 1,
      value: {
        items: [
          { endpoint: '10.1.0.1:8080', pod: 'cart-a', serves: 'all' },
          { pod: 'cart-b', condition: 'not ready', serves: 'nobody' },
        ],
      },
    });

    const connections = await json('connections', 'shop/cart');
    const { items } = connections.value as { items: object[] };
    t.match(
      items.find((item) => (item as { state: string }).state === 'open'),
      {
        service: 'shop/cart:http',
        destination: '172.30.0.10:80',
        endpoint: '10.1.0.1:8080',
        endpointPod: 'cart-a',
      },
    );

    const refused = await json('explain', 'node', 'empty:http');
    t.match(refused, {
      code: 1,
      value: { outcome: 'refused', reason: 'no-endpoints', service: 'shop/empty', node: 'node1' },
    });
    t.match(await penstock('explain', 'node', 'nothing:http'), {
      code: 2,
      err: /there is no Service nothing/,
    });
  });

  t.test('the socket is for root, reads only, and does not mind nonsense', async (t) => {
    const path = await adminSocket();
    const { mode, uid } = statSync(path);
    t.equal(mode & 0o777, 0o600);
    t.equal(uid, 0);
    t.equal(await raw('POST', '/v1/status'), 405);
    t.equal(await raw('GET', '/v1/nothing'), 404);
    t.equal(await raw('GET', '/v1/explain?client=x&to=%00'), 400);
    t.equal(await raw('GET', '//'), 400);
    const asNobody = `setpriv --reuid 65534 --clear-groups ${process.execPath} -e 'require("net").connect("${path}").on("error", (e) => console.log(e.code)).on("connect", () => console.log("connected"))'`;
    t.match(shell(asNobody), 'EACCES');
    t.equal(await raw('GET', '/v1/status'), 200, 'it goes on');
  });

  t.test('after the agent was killed the commands still answer, and say so', async (t) => {
    await agent.end('SIGKILL');
    const status = await json('status');
    t.equal(status.code, 1);
    t.match(status.value, {
      healthy: false,
      verdict: /agent: does not run/,
      agent: null,
      counts: { services: 2 },
    });
    t.match(await kernelTest(), { passed: true });
    shell('nft flush map ip penstock endpoints');
    t.match(await kernelTest(), {
      passed: false,
      says: /^endpoints lacks 172\.30\.0\.10 \. tcp \. 80 \. \d+ : 10\.1\.0\.1 \. 8080$/,
    });
    shell('nft flush chain ip penstock services');
    t.match(await kernelTest(), { passed: false, says: 'chain services has no rules' });
    t.match(await json('services'), {
      code: 1,
      value: { agent: false, items: [{ service: 'shop/cart' }, {}] },
    });
    t.match(await penstock('services'), { out: /no agent runs/ });
    t.match(await json('explain', 'node', 'cart:http'), {
      code: 0,
      value: { outcome: 'endpoint', endpoints: ['10.1.0.1:8080'], mode: 'nftables' },
    });
  });

  t.test('a Service that is not there is said', async (t) => {
    const { code, err } = await penstock('endpoints', 'shop/nobody');
    t.equal(code, 2);
    t.match(err, 'there is no Service "shop/nobody"');
  });

  t.test('cleanup takes away what the killed agent left in its folder', async (t) => {
    t.ok(existsSync(agentNote()));
    t.equal((await penstock('cleanup')).code, 0);
    for (const path of [agentNote(), lockFile()]) t.notOk(existsSync(path), path);
    t.equal(await AgentClient.find(), undefined);
  });
}
