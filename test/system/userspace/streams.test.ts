/** Streams through the proxy: whole, ended and reset as their ends want it, however large, slow or idle. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import { call, makeUserspaceWorld, serve, VIP } from '../../support/userspaceWorld.js';

const POD = '10.2.0.1';
const MEGABYTE = Buffer.alloc(1 << 20, 'penstock ');

const hashOf = (megabytes: number) => {
  const hash = createHash('sha256');
  for (let i = 0; i < megabytes; i++) hash.update(MEGABYTE);
  return hash.digest('hex');
};

function send(socket: Socket, megabytes: number, done: () => void): void {
  let left = megabytes;
  const more = () => {
    while (left > 0) {
      left--;
      if (!socket.write(MEGABYTE)) return void socket.once('drain', more);
    }
    done();
  };
  more();
}

/** Sends urgent data in the middle and then ends, all while the agent is stopped, so that it sees it at once. */
const URGENT = `
import os, signal, socket, sys
s = socket.create_connection(('${VIP}', 80), 10)
s.send(b'ask')
s.recv(2)
os.kill(int(sys.argv[1]), signal.SIGSTOP)
s.send(b'one')
s.send(b'!', socket.MSG_OOB)
s.send(b'two')
s.shutdown(socket.SHUT_WR)
os.kill(int(sys.argv[1]), signal.SIGCONT)
`;

function urgentClient(agent: number): Promise<number | null> {
  const child = spawn('python3', ['-c', URGENT, String(agent)], { stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve) => child.on('close', resolve));
}

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([POD]);
  let answer: (socket: Socket) => void = () => {};
  const server = await serve(POD, (socket) => answer(socket));
  t.teardown(() => server.close());
  const client = () => {
    const socket = connect({ host: VIP, port: 80, allowHalfOpen: true });
    socket.setTimeout(20_000, () => socket.destroy(new Error('nothing comes')));
    return socket;
  };
  /** Everything up to the end. To iterate over the socket would also end our side. */
  const text = (socket: Socket) =>
    new Promise<string>((resolve, reject) => {
      let all = '';
      socket.on('data', (chunk) => {
        all += chunk;
      });
      socket.on('error', reject);
      socket.on('end', () => resolve(all));
    });

  await t.test('with one agent', async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('web.json', shopObjects({ name: 'web', clusterIP: VIP, endpoints: [POD] }));
    agent.start();
    t.ok(await agent.ready());

    await t.test('a hundred megabytes each way, at the same time', async (t) => {
      const upward = new Promise<string>((resolve) => {
        answer = (socket) => {
          const hash = createHash('sha256');
          socket.on('data', (chunk) => hash.update(chunk));
          socket.on('end', () => resolve(hash.digest('hex')));
          send(socket, 100, () => socket.end());
        };
      });
      const socket = client();
      const hash = createHash('sha256');
      socket.on('data', (chunk) => hash.update(chunk));
      const ended = new Promise((resolve) => socket.once('end', resolve));
      send(socket, 100, () => socket.end());
      const wanted = hashOf(100);
      t.equal(await upward, wanted);
      await ended;
      t.equal(hash.digest('hex'), wanted);
    });

    await t.test('the client ends its side and still gets the answer', async (t) => {
      answer = (socket) => {
        let heard = '';
        socket.on('data', (chunk) => {
          heard += chunk;
        });
        socket.on('end', async () => {
          await sleep(100);
          socket.end(`heard ${heard}`);
        });
      };
      const socket = client();
      socket.end('everything');
      t.equal(await text(socket), 'heard everything');
    });

    await t.test('the server ends its side and still hears the client', async (t) => {
      const heard = new Promise<string>((resolve) => {
        answer = (socket) => {
          socket.end('bye');
          resolve(text(socket));
        };
      });
      const socket = client();
      t.equal(await text(socket), 'bye');
      socket.end('but wait');
      t.equal(await heard, 'but wait');
    });

    await t.test('what follows urgent data is not lost, also when the end comes with it', async (t) => {
      const heard = new Promise<string>((resolve) => {
        answer = (socket) => {
          socket.once('data', () => socket.write('go'));
          resolve(text(socket));
        };
      });
      const code = await urgentClient(agent.pid ?? 0);
      t.equal(code, 0);
      t.equal(await heard, 'askonetwo', 'the urgent byte itself is not passed on');
    });

    await t.test('a server that speaks first is heard at once', async (t) => {
      answer = (socket) => socket.write('220 ready\r\n');
      const started = performance.now();
      const socket = client();
      const first = await new Promise<string>((resolve) =>
        socket.once('data', (data) => resolve(String(data))),
      );
      const ms = performance.now() - started;
      t.equal(first, '220 ready\r\n');
      t.ok(ms < 150, `after ${ms.toFixed(0)} ms: the handshake was not held back`);
      socket.destroy();
    });

    await t.test('a client that says nothing is asked now and then whether it is still there', async (t) => {
      answer = () => {};
      const socket = client();
      await new Promise((resolve) => socket.once('connect', resolve));
      const timers = () => shell(`ss -tnoH state established dst 192.168.77.1:${socket.localPort}`);
      t.ok(await eventually(async () => /timer:\(keepalive,(2min|1min)/.test(timers())), timers());
      socket.destroy();
    });

    await t.test('a reset is passed on, both ways', async (t) => {
      answer = (socket) => socket.once('data', () => socket.resetAndDestroy());
      t.equal((await call()).text, 'ECONNRESET');
      const reset = new Promise<string>((resolve) => {
        answer = (socket) => socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      });
      const socket = client();
      socket.write('x');
      await sleep(100);
      socket.resetAndDestroy();
      t.equal(await reset, 'ECONNRESET');
    });

    await t.test('a client that does not read holds up nobody but itself', async (t) => {
      answer = (socket) => {
        socket.once('data', (data) =>
          String(data) === 'hello' ? socket.end('ok') : send(socket, 200, () => {}),
        );
      };
      const lazy = Array.from({ length: 20 }, () => {
        const socket = client();
        socket.on('error', () => {});
        socket.pause();
        socket.write('flood');
        return socket;
      });
      await sleep(500);
      for (let i = 0; i < 50; i++) t.equal((await call()).text, 'ok');
      for (const socket of lazy) socket.destroy();
    });
  });

  await t.test('times that a Service asks for', async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    const annotations = { 'penstock.io/idle-timeout': '300ms', 'penstock.io/max-lifetime': '1s' };
    agent.write('web.json', shopObjects({ name: 'web', clusterIP: VIP, endpoints: [POD], annotations }));
    agent.start();
    t.ok(await agent.ready());
    answer = (socket) => socket.on('data', (data) => socket.write(data));
    const lifeOf = (talkEachMs: number) =>
      new Promise<number>((resolve) => {
        const started = performance.now();
        const socket = client();
        const talking = setInterval(() => socket.write('x'), talkEachMs);
        socket.on('error', () => {});
        socket.on('data', () => {});
        socket.write('x');
        socket.on('close', () => {
          clearInterval(talking);
          resolve(performance.now() - started);
        });
      });
    const [idle, busy] = await Promise.all([lifeOf(60_000), lifeOf(50)]);
    t.ok(idle >= 290 && idle < 900, `idle: reset after ${idle.toFixed(0)} ms`);
    t.ok(busy >= 990 && busy < 2000, `busy: reset after ${busy.toFixed(0)} ms`);
  });
}
