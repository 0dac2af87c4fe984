/** A side that breaks off: what it had sent arrives, then the reset; and a request that was begun is never begun again. */

import { readdirSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import { makeUserspaceWorld, serve, VIP } from '../../support/userspaceWorld.js';

const POD = '10.2.0.1';
const ROUNDS = 200;
const REQUEST = Buffer.alloc(300_000, 'request ');

interface Heard {
  readonly bytes: number;
  readonly end: string;
}

/** What came and how it ended. */
function listen(socket: Socket): Promise<Heard> {
  return new Promise((resolve) => {
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve({ bytes, end: error.code ?? 'ERROR' }));
    socket.on('end', () => resolve({ bytes, end: 'end' }));
    socket.setTimeout(15_000, () => resolve({ bytes, end: 'TIMEOUT' }));
  });
}

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([POD]);
  await using agent = new AgentProcess('mode: userspace\n');
  agent.write('web.json', shopObjects({ name: 'web', clusterIP: VIP, endpoints: [POD] }));
  agent.start();
  await agent.ready();

  for (const answer of [10, 1000, 100_000, 1_000_000]) {
    await t.test(`an endpoint that answers ${answer} bytes and closes with the request unread`, async (t) => {
      const bytes = Buffer.alloc(answer, 'answer ');
      // What the kernel of the endpoint has not sent when it is closed is lost, also without a proxy.
      const patience = answer > 50_000 ? 500 : 5;
      const server = createServer({ pauseOnConnect: true }, (socket) => {
        socket.on('error', () => {});
        socket.write(bytes, () => setTimeout(() => socket.destroy(), patience));
      });
      await new Promise<void>((resolve) => server.listen({ port: 8080, host: POD, backlog: 4096 }, resolve));
      t.teardown(() => server.close());
      const ends = new Map<string, number>();
      const short: Heard[] = [];
      const rounds = answer > 50_000 ? ROUNDS / 20 : ROUNDS;
      for (let i = 0; i < rounds; i++) {
        const socket = connect(80, VIP);
        socket.write(REQUEST);
        const heard = await listen(socket);
        socket.destroy();
        ends.set(heard.end, (ends.get(heard.end) ?? 0) + 1);
        if (heard.bytes !== answer) short.push(heard);
      }
      t.strictSame(short, [], `${rounds} whole answers`);
      t.comment([...ends]);
      // Some may be over before their request has come.
      t.ok((ends.get('ECONNRESET') ?? 0) > rounds / 2, 'and the reset after them');
      t.notOk(ends.has('TIMEOUT'));
    });
  }

  await t.test('a client that sends everything and breaks off', async (t) => {
    for (const [name, length] of [
      ['little', 1000],
      ['much', 300_000],
    ] as const) {
      let heard: Promise<Heard> | undefined;
      const server = await serve(POD, (socket) => {
        heard = listen(socket);
      });
      const short: Heard[] = [];
      for (let i = 0; i < 50; i++) {
        heard = undefined;
        const socket = connect(80, VIP);
        socket.on('error', () => {});
        await new Promise<void>((resolve) => socket.write(Buffer.alloc(length), () => resolve()));
        // Until the kernel of the client has sent it: a reset throws the rest away.
        await sleep(30);
        socket.resetAndDestroy();
        while (heard === undefined) await sleep(5);
        const got = (await heard) as Heard;
        if (got.bytes !== length || got.end !== 'ECONNRESET') short.push(got);
      }
      t.strictSame(short, [], name);
      server.close();
    }
  });

  await t.test('a client that does not take the last bytes is not waited for long', async (t) => {
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => {});
      socket.write(Buffer.alloc(30_000_000), () => {});
      setTimeout(() => socket.resetAndDestroy(), 500);
    });
    await new Promise<void>((resolve) => server.listen({ port: 8080, host: POD }, resolve));
    t.teardown(() => server.close());
    const socket = connect(80, VIP);
    socket.on('error', () => {});
    socket.pause();
    socket.write('x');
    // Whoever does not read is not told of the reset: the proxy's descriptors tell.
    const held = () => readdirSync(`/proc/${agent.pid}/fd`).length;
    await sleep(1500);
    const during = held();
    t.ok(await eventually(async () => held() <= during - 2, 12_000));
    socket.destroy();
  });
}
