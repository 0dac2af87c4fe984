import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { NativeSocket } from '../../../../src/kernel/addon/NativeSocket.js';
import { loadAddon } from '../../../../src/kernel/addon/nativeAddon.js';
import { MessageFlag, NetlinkProtocol } from '../../../../src/kernel/netlink/constants.js';
import { parseMessages } from '../../../../src/kernel/netlink/Message.js';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import { openNativeSocket } from '../../../../src/kernel/netlink/openNativeSocket.js';
import { fromRoot } from '../../../support/fromRoot.js';
import { inNetns } from '../../../support/inNetns.js';

const MODULE = fromRoot('dist/src/kernel/netlink/openNativeSocket.js').href;

const GETLINK = 18;
const NEWLINK = 16;
/** RTNLGRP_LINK. */
const LINK_GROUP = 1;

/** `count` requests for the interface with that number, each with an acknowledgement. */
function linkRequests(interfaceIndex: number, count = 1): Uint8Array {
  const writer = new MessageWriter();
  for (let i = 0; i < count; i++) {
    writer.beginMessage(GETLINK, MessageFlag.ACK);
    writer.putU32(0);
    writer.putU32(interfaceIndex);
    writer.putU32(0);
    writer.putU32(0);
    writer.endMessage();
  }
  return writer.bytes();
}

function receiver(socket: NativeSocket, bufferSize = 65536, datagrams = 64) {
  const buffer = new Uint8Array(bufferSize);
  const lengths = new Uint32Array(datagrams);
  const groups = new Uint32Array(datagrams);
  return {
    buffer,
    lengths,
    groups,
    receive: () => socket.receive(buffer, lengths, groups),
    /** Types of the messages of each datagram of one receive. */
    types: () => {
      const count = socket.receive(buffer, lengths, groups);
      let at = 0;
      return [...lengths.subarray(0, count)].map((length) => {
        at += length;
        return parseMessages(buffer.slice(at - length, at)).messages.map(({ type }) => type);
      });
    },
  };
}

const openFiles = () => readdirSync('/proc/self/fd').length;

/** Runs a script with a `socket`, and a `request` the kernel answers, in a process of its own. */
function runScript(script: string) {
  const request = Buffer.from(linkRequests(1)).toString('base64');
  const source = `import { openNativeSocket } from ${JSON.stringify(MODULE)};
    const request = Buffer.from('${request}', 'base64');
    const socket = openNativeSocket(0);
    ${script}`;
  const file = join(t.testdir(), 'script.mjs');
  writeFileSync(file, source);
  return spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 60_000 });
}

if (await inNetns(import.meta.url)) {
  t.test('asks and receives', async (t) => {
    const socket = openNativeSocket(NetlinkProtocol.ROUTE);
    t.ok(socket.portId > 0);
    const { types, groups, receive } = receiver(socket);
    t.strictSame(types(), [], 'nothing yet');
    socket.send(linkRequests(1));
    t.strictSame(types(), [[NEWLINK], [2]]);
    t.strictSame([...groups.subarray(0, 2)], [0, 0]);
    socket.close();
    socket.close();
    t.throws(() => socket.send(linkRequests(1)), { code: 'EBADF' });
    t.throws(() => receive(), { code: 'EBADF' });
    t.throws(() => socket.onReadable(() => {}), { code: 'EBADF' });
    t.doesNotThrow(() => socket.ref());
  });

  t.test('hands out only as many datagrams as there is room for', async (t) => {
    const socket = openNativeSocket(NetlinkProtocol.ROUTE);
    socket.send(linkRequests(1, 3));
    const two = receiver(socket, 65536, 2);
    t.strictSame(two.types(), [[NEWLINK], [2]]);
    // The next one is longer than 100 bytes: it waits, is announced, and is there after that.
    const small = receiver(socket, 100);
    let needed = 0;
    try {
      small.receive();
    } catch (error) {
      t.match(error, { code: 'EMSGSIZE', syscall: 'recvmsg' });
      needed = (error as { needed: number }).needed;
    }
    t.ok(needed > 100);
    const exact = receiver(socket, needed);
    t.strictSame(exact.types(), [[NEWLINK]], 'the acknowledgement does not fit any more');
    t.equal(exact.lengths[0], needed);
    t.strictSame(receiver(socket).types(), [[2], [NEWLINK], [2]]);
    socket.close();
  });

  t.test('calls back when there is something', async (t) => {
    const socket = openNativeSocket(NetlinkProtocol.ROUTE);
    const { types } = receiver(socket);
    socket.ref();
    const seen = await new Promise((resolve) => {
      socket.onReadable(() => {
        resolve(types());
        socket.close();
        socket.close();
      });
      socket.send(linkRequests(1));
    });
    t.strictSame(seen, [[NEWLINK], [2]]);
  });

  t.test('a new callback takes the place of the old one; undefined ends it', async (t) => {
    const socket = openNativeSocket(NetlinkProtocol.ROUTE);
    socket.ref();
    socket.onReadable(() => t.fail('the old callback'));
    await new Promise<void>((resolve) => {
      socket.onReadable(() => {
        socket.onReadable(undefined);
        resolve();
      });
      socket.send(linkRequests(1));
    });
    socket.onReadable(undefined);
    t.strictSame(receiver(socket).types(), [[NEWLINK], [2]], 'still queued');
    socket.close();
  });

  t.test('multicast: groups, and loss that is told once', async (t) => {
    const socket = openNativeSocket(NetlinkProtocol.ROUTE);
    const { types, groups, receive } = receiver(socket);
    const changeLo = () => spawnSync('ip', ['link', 'set', 'lo', 'up', 'mtu', String(1500 + (mtu++ % 2))]);
    let mtu = 0;
    socket.joinGroup(LINK_GROUP);
    changeLo();
    t.ok(
      types()
        .flat()
        .every((type) => type === NEWLINK),
    );
    t.equal(groups[0], LINK_GROUP);
    socket.leaveGroup(LINK_GROUP);
    changeLo();
    t.strictSame(types(), []);

    socket.joinGroup(LINK_GROUP);
    const size = socket.setReceiveBuffer(1);
    t.ok(size < 10_000, 'the smallest the kernel allows');
    for (let i = 0; i < 8; i++) changeLo();
    socket.ref();
    const heard: string[] = [];
    await new Promise<void>((resolve) => {
      // libuv ends a watch on such an error; ours must go on.
      socket.onReadable(() => {
        try {
          while (receive() > 0) heard.push('messages');
          if (heard.at(-1) === 'messages') resolve();
        } catch (error) {
          heard.push((error as NodeJS.ErrnoException).code ?? 'no code');
          socket.setReceiveBuffer(1 << 20);
          setImmediate(changeLo);
        }
      });
    });
    t.equal(heard.filter((what) => what === 'ENOBUFS').length, 1);
    t.ok(heard.includes('messages'));
    socket.close();
  });

  t.test('buffers', async (t) => {
    const socket = openNativeSocket(NetlinkProtocol.ROUTE);
    t.equal(socket.setReceiveBuffer(8 << 20), 16 << 20, 'past net.core.rmem_max');
    t.equal(socket.setSendBuffer(1 << 16), 1 << 17);
    const batch = linkRequests(1, 5000);
    t.throws(() => socket.send(batch), { code: 'EMSGSIZE', errno: -90, syscall: 'sendmsg' });
    t.equal(socket.setSendBuffer(32 << 20), 64 << 20);
    t.doesNotThrow(() => socket.send(batch));
    socket.close();
  });

  t.test('wrong arguments throw and harm nothing', async (t) => {
    const socket = openNativeSocket(NetlinkProtocol.ROUTE);
    const Socket = socket.constructor as new (...args: unknown[]) => NativeSocket;
    const wrong: readonly unknown[] = [
      undefined,
      null,
      'x',
      {},
      [],
      -1,
      1.5,
      Number.NaN,
      2 ** 33,
      1n,
      Symbol('s'),
      () => {},
    ];
    const before = openFiles();
    for (const value of wrong) {
      t.throws(() => new Socket(value), `protocol ${String(value)}`);
      if (value !== undefined && typeof value !== 'object') {
        t.throws(() => new Socket(0, value), TypeError, `options ${String(value)}`);
      }
      if (value !== undefined && value !== 'x') {
        t.throws(() => new Socket(0, { netns: value }), TypeError, `netns ${String(value)}`);
      }
    }
    t.throws(() => new Socket(32), RangeError);
    t.throws(() => new Socket(31), { code: 'EPROTONOSUPPORT' });
    t.throws(() => new Socket(0, { netns: '' }), RangeError);
    t.throws(() => new Socket(0, { netns: '/proc/self/ns/net\0' }), RangeError);
    t.throws(() => new Socket(0, { netns: '/absent' }), {
      code: 'ENOENT',
      message: /network namespace \/absent/,
    });
    t.throws(() => new Socket(0, { netns: '/dev/null' }), { code: 'EINVAL', syscall: 'setns' });
    t.throws(() => (Socket as unknown as () => void)(), TypeError);
    t.equal(openFiles(), before);

    const methods = socket as unknown as Record<string, (...args: unknown[]) => unknown>;
    const call =
      (name: string, self: unknown, ...args: unknown[]) =>
      () =>
        methods[name]?.apply(self, args);
    for (const name of ['joinGroup', 'leaveGroup', 'setSendBuffer', 'setReceiveBuffer', 'send', 'receive']) {
      for (const value of wrong) t.throws(call(name, socket, value), `${name}(${String(value)})`);
    }
    t.throws(() => socket.joinGroup(2 ** 32 - 1), { code: 'EINVAL' });
    t.throws(call('onReadable', socket, 'x'), TypeError);
    t.throws(call('onReadable', socket, null), TypeError);
    t.throws(() => socket.send(new Uint8Array()), { code: 'ENODATA' });
    for (const array of [
      new Uint16Array(8),
      new ArrayBuffer(8),
      new DataView(new ArrayBuffer(8)),
      new Int8Array(8),
    ]) {
      t.throws(call('send', socket, array), TypeError);
    }
    const [bytes, words] = [new Uint8Array(64), new Uint32Array(4)];
    t.throws(call('receive', socket, bytes, words), TypeError);
    t.throws(call('receive', socket, bytes, new Int32Array(4), words), TypeError);
    t.throws(call('receive', socket, bytes, words, new Uint32Array(3)), RangeError);
    t.throws(call('receive', socket, bytes, new Uint32Array(), new Uint32Array()), RangeError);
    t.equal(socket.receive(new Uint8Array(), words, words.slice()), 0);
    for (const self of [undefined, null, {}, Socket.prototype, new Map(), 5]) {
      for (const name of ['send', 'receive', 'onReadable', 'ref', 'unref', 'close', 'joinGroup']) {
        t.throws(call(name, self, bytes, words, words), TypeError, `${name} of another object`);
      }
    }
    const detached = new Uint8Array(64);
    structuredClone(detached, { transfer: [detached.buffer] });
    t.throws(() => socket.send(detached), { code: 'ENODATA' });
    socket.close();
  });

  t.test('1,000 sockets leave no file behind', async (t) => {
    const before = openFiles();
    for (let i = 0; i < 1000; i++) {
      const socket = openNativeSocket(
        NetlinkProtocol.NETFILTER,
        i % 10 === 0 ? { netns: '/proc/self/ns/net' } : {},
      );
      if (i % 2 === 0) socket.onReadable(() => {});
      socket.close();
    }
    await new Promise((resolve) => setImmediate(resolve));
    t.equal(openFiles(), before);
  });

  t.test('opens in another network namespace and stays in its own', async (t) => {
    const other = spawn('unshare', [
      '--net',
      'sh',
      '-c',
      'ip link add elsewhere type dummy || ip link add elsewhere type veth; echo; cat',
    ]);
    await once(other.stdout, 'data');
    const socket = openNativeSocket(NetlinkProtocol.ROUTE, { netns: `/proc/${other.pid}/ns/net` });
    const here = openNativeSocket(NetlinkProtocol.ROUTE);
    const INTERFACE = 2;
    socket.send(linkRequests(INTERFACE));
    here.send(linkRequests(INTERFACE));
    t.strictSame(receiver(socket).types(), [[NEWLINK], [2]]);
    t.strictSame(receiver(here).types(), [[2]], 'no such interface here');
    socket.close();
    here.close();
    other.kill();
    await once(other, 'close');
  });

  t.test('works in worker threads, and a worker may end with an open socket', async (t) => {
    const before = openFiles();
    const source = `
      const { parentPort } = require('node:worker_threads');
      import(${JSON.stringify(MODULE)}).then(({ openNativeSocket }) => {
        const socket = openNativeSocket(0);
        socket.ref();
        socket.onReadable(() => {
          parentPort.postMessage(socket.receive(new Uint8Array(65536), new Uint32Array(64), new Uint32Array(64)));
        });
        socket.send(Buffer.from('${Buffer.from(linkRequests(1)).toString('base64')}', 'base64'));
      });`;
    const workers = [1, 2, 3].map(() => new Worker(source, { eval: true }));
    const received = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
    t.strictSame(received, [2, 2, 2]);
    await Promise.all(workers.map((worker) => worker.terminate()));
    t.equal(openFiles(), before);
  });

  t.test('the life of the process', async (t) => {
    const cases = [
      {
        name: 'an idle socket lets it end',
        script: 'socket.onReadable(() => {}); console.log("end")',
        stdout: 'end\n',
      },
      {
        name: 'ref() keeps it alive until there is something, unref() lets it end',
        script: `socket.ref();
          socket.onReadable(() => { console.log('heard'); socket.onReadable(undefined); socket.unref(); });
          setImmediate(() => socket.send(request));`,
        stdout: 'heard\n',
      },
      {
        name: 'what a callback throws is an uncaught exception',
        script: `socket.ref();
          process.on('uncaughtException', (error) => { console.log(error.message); socket.close(); });
          socket.onReadable(() => { throw new Error('of the callback'); });
          socket.send(request);`,
        stdout: 'of the callback\n',
      },
      {
        name: 'promises settle after a callback',
        script: `socket.ref();
          socket.onReadable(() => { Promise.resolve().then(() => console.log('settled')); socket.close(); });
          socket.send(request);`,
        stdout: 'settled\n',
      },
      {
        name: 'process.exit() in a callback',
        script: 'socket.ref(); socket.onReadable(() => process.exit(0)); socket.send(request);',
        stdout: '',
      },
    ];
    for (const { name, script, stdout } of cases) {
      const result = runScript(script);
      t.match(result, { status: 0, signal: null, stdout, stderr: '' }, name);
      t.equal(result.stdout, stdout, name);
    }
  });

  t.test('a missing addon says how to get it', async (t) => {
    const folder = t.testdir({ 'broken.node': 'not a library' });
    const remedy = /npm run build:native/;
    t.throws(() => loadAddon('/absent/penstock.node'), {
      code: 'PENSTOCK_NATIVE_MISSING',
      message: /has not been built/,
      remedy,
    });
    t.throws(() => loadAddon(join(folder, 'broken.node')), {
      code: 'PENSTOCK_NATIVE_MISSING',
      message: /cannot be loaded/,
      remedy,
    });
  });
}
