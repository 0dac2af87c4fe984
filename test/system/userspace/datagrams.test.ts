/** UDP through the proxy: every datagram whole, in its flow and in order, whatever its length and that of its neighbours. */
import { createSocket, type Socket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import { makeUserspaceWorld, VIP } from '../../support/userspaceWorld.js';

const [POD, OTHER] = ['10.2.0.1', '10.2.0.2'] as const;
/** Runs of one length, shorter and longer neighbours, empty ones, and more than a packet holds. */
const LENGTHS = [...Array(20).fill(100), 99, 101, 0, 1232, 1232, 1232, 1231, 1233, 1, 1, 0, 0, 5000, 5000];
/** Of more fragments than the kernel is sure to hold when links are narrow. */
const LONGEST = 60_000;

interface Heard {
  readonly from: string;
  readonly data: Buffer;
}

async function open(address: string, port = 0): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.bind(port, address, resolve));
  return socket;
}

async function serveEcho(address: string): Promise<{ readonly heard: Heard[]; close: () => void }> {
  const heard: Heard[] = [];
  const socket = await open(address, 8080);
  socket.on('message', (data, { address, port }) => {
    heard.push({ from: `${address}:${port}`, data });
    socket.send(data, port, address);
  });
  return { heard, close: () => socket.close() };
}

/** `length` bytes that tell who sent them, as far as they go. */
function datagram(client: number, index: number, length: number): Buffer {
  return Buffer.alloc(length, `${client}.${index} `);
}

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([POD, OTHER]);
  const objects = (endpoints: readonly string[]) =>
    shopObjects({
      name: 'dns',
      clusterIP: VIP,
      endpoints,
      protocol: 'UDP',
      annotations: { 'penstock.io/udp-idle-timeout': '2s' },
    });

  for (const [mtu, lengths] of [
    [65_536, [...LENGTHS, LONGEST]],
    [900, LENGTHS],
  ] as const) {
    t.test(`bursts of all lengths, over a link of ${mtu}`, { timeout: 60_000 }, async (t) => {
      shell(`ip link set lo mtu ${mtu}`);
      const echo = await serveEcho(POD);
      t.teardown(() => echo.close());
      await using agent = new AgentProcess('mode: userspace\n');
      agent.write('dns.json', objects([POD]));
      agent.start();
      t.ok(await agent.ready());
      const answers = await Promise.all(
        Array.from({ length: 8 }, async (_, client) => {
          const socket = await open('0.0.0.0');
          t.teardown(() => socket.close());
          const got: Buffer[] = [];
          socket.on('message', (data) => got.push(data));
          for (const [index, length] of lengths.entries())
            socket.send(datagram(client, index, length), 80, VIP);
          await eventually(async () => got.length >= lengths.length, 10_000);
          return got;
        }),
      );
      for (const [client, got] of answers.entries()) {
        const wanted = lengths.map((length, index) => datagram(client, index, length));
        const wrong = wanted.flatMap((data, index) => (got[index]?.equals(data) ? [] : [index]));
        t.strictSame([got.length, wrong], [wanted.length, []], `client ${client}`);
      }
      t.equal(new Set(echo.heard.map(({ from }) => from)).size, 8, 'each client is a flow of its own');
    });
  }

  t.test(
    'a flow stays with its endpoint until nobody speaks, or the endpoint is gone',
    { timeout: 60_000 },
    async (t) => {
      const echoes = await Promise.all([POD, OTHER].map(serveEcho));
      t.teardown(() => {
        for (const { close } of echoes) close();
      });
      await using agent = new AgentProcess('mode: userspace\n');
      agent.write('dns.json', objects([POD, OTHER]));
      agent.start();
      t.ok(await agent.ready());
      const client = await open('0.0.0.0');
      t.teardown(() => client.close());
      let answered = 0;
      client.on('message', () => answered++);
      const ask = async () => {
        const before = answered;
        client.send('x', 80, VIP);
        return eventually(async () => answered > before, 5000);
      };
      for (let i = 0; i < 10; i++) t.ok(await ask());
      const served = echoes.map(({ heard }) => heard.length);
      t.ok(served.includes(0), 'one of them heard everything');
      const sources = () => new Set(echoes.flatMap(({ heard }) => heard.map(({ from }) => from))).size;
      t.equal(sources(), 1);
      await sleep(3000);
      t.ok(await ask());
      t.equal(sources(), 2, 'after the idle timeout it is a new flow');

      const [busy, idle] = served[0] === 0 ? [OTHER, POD] : [POD, OTHER];
      agent.write('dns.json', objects([idle]));
      const other = echoes[[POD, OTHER].indexOf(idle)];
      const before = other?.heard.length ?? 0;
      t.ok(
        await eventually(async () => (await ask()) && (other?.heard.length ?? 0) > before, 10_000),
        `${busy} is gone`,
      );
    },
  );

  t.test('an answer that takes its time', { timeout: 60_000 }, async (t) => {
    const slow = await open(POD, 8080);
    slow.on('message', (data, { address, port }) => {
      setTimeout(() => slow.send(data, port, address, () => {}), Number(String(data)));
    });
    t.teardown(() => slow.close());
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('dns.json', shopObjects({ name: 'dns', clusterIP: VIP, endpoints: [POD], protocol: 'UDP' }));
    agent.start();
    t.ok(await agent.ready(60_000));
    const delays = [0, 220, 300, 500, 1000, 2000, 5000];
    const late = await Promise.all(
      delays.map(async (delay) => {
        const client = await open('0.0.0.0');
        const answered = new Promise<boolean>((resolve) => client.on('message', () => resolve(true)));
        // The second question of a flow has the same time.
        client.send('0', 80, VIP);
        await answered;
        const again = new Promise<boolean>((resolve) => client.on('message', () => resolve(true)));
        client.send(String(delay), 80, VIP);
        const came = await Promise.race([again, sleep(9000, false)]);
        client.close();
        return came ? [] : [delay];
      }),
    );
    t.strictSame(late.flat(), [], `all came, after ${delays} ms`);
  });

  t.test('nobody listens: the client is told, as by ICMP', { timeout: 30_000 }, async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('dns.json', objects([POD]));
    agent.start();
    t.ok(await agent.ready());
    const client = createSocket('udp4');
    t.teardown(() => client.close());
    const told = new Promise<string>((resolve) => {
      client.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    });
    await new Promise<void>((resolve) => client.connect(80, VIP, resolve));
    const asking = setInterval(() => client.send('x', () => {}), 100);
    t.teardown(() => clearInterval(asking));
    t.equal(await Promise.race([told, sleep(5000, 'nothing came')]), 'ECONNREFUSED');
  });
}
