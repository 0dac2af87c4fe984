import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import t from 'tap';
import { NetlinkProtocol } from '../../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../../src/kernel/netlink/NetlinkChannel.js';
import { Nfacct } from '../../../../src/kernel/nfacct/Nfacct.js';
import { inNetns } from '../../../support/inNetns.js';
import { FakeSocket, type Sent } from '../../../unit/kernel/netlink/FakeSocket.js';

/** Tries to send a UDP datagram with so many bytes of content to this host. */
async function sendDatagram(size: number): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise((resolve) => socket.send(Buffer.alloc(size), 9, '127.0.0.1', resolve));
  socket.close();
}

t.test('a kernel without nfacct', async (t) => {
  const socket = new FakeSocket();
  const nfacct = new Nfacct(new NetlinkChannel(socket));
  const calls = [() => nfacct.create('dropped'), () => nfacct.delete('dropped'), () => nfacct.list()];
  for (const call of calls) {
    const result: Promise<unknown> = call();
    result.catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    socket.deliver(socket.outcome(socket.sent.at(-1) as Sent, -22));
    await t.rejects(() => result, { code: 'PENSTOCK_NFACCT_UNSUPPORTED', remedy: /nfnetlink_acct/ });
  }
});

t.test('other refusals are told as they are', async (t) => {
  const socket = new FakeSocket();
  const result = new Nfacct(new NetlinkChannel(socket)).create('dropped');
  socket.deliver(socket.outcome(socket.sent.at(-1) as Sent, -1));
  await t.rejects(result, { name: 'NetlinkError', code: 'EPERM', message: /create nfacct object dropped/ });
});

t.test('names', async (t) => {
  const socket = new FakeSocket();
  const nfacct = new Nfacct(new NetlinkChannel(socket));
  for (const name of ['', 'x'.repeat(32), 'ä'.repeat(16)]) {
    await t.rejects(nfacct.create(name), { name: 'RangeError' });
    await t.rejects(nfacct.delete(name), { name: 'RangeError' });
  }
  t.strictSame(socket.sent, []);
});

if (await inNetns(import.meta.url)) {
  t.test('with this kernel', async (t) => {
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
    t.teardown(() => channel.close());
    const nfacct = new Nfacct(channel);
    t.equal((await nfacct.list()).size, 0);
    const longest = 'x'.repeat(31);
    await nfacct.create('dropped');
    await nfacct.create(longest);
    t.strictSame([...(await nfacct.list()).keys()].sort(), ['dropped', longest]);

    const rule = ['-w', '-A', 'OUTPUT', '-m', 'nfacct', '--nfacct-name', 'dropped', '-j', 'DROP'];
    t.equal(spawnSync('ip', ['link', 'set', 'lo', 'up']).status, 0);
    t.equal(spawnSync('iptables', rule).status, 0);
    await sendDatagram(56);
    t.strictSame((await nfacct.list()).get('dropped'), { packets: 1, bytes: 20 + 8 + 56 });
    await nfacct.create('dropped');
    t.strictSame(
      (await nfacct.list()).get('dropped'),
      { packets: 1, bytes: 84 },
      'neither listing nor create resets',
    );

    await t.rejects(nfacct.delete('dropped'), { code: 'EBUSY' }, 'a rule uses it');
    t.equal(spawnSync('iptables', ['-w', '-F']).status, 0);
    await nfacct.delete('dropped');
    await nfacct.delete('dropped');
    t.strictSame([...(await nfacct.list()).keys()], [longest]);
  });

  t.test('more objects than fit one datagram', async (t) => {
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
    t.teardown(() => channel.close());
    const nfacct = new Nfacct(channel);
    const names = Array.from({ length: 1500 }, (_, i) => `counter-${i}`);
    await Promise.all(names.map((name) => nfacct.create(name)));
    const [first, second] = await Promise.all([nfacct.list(), nfacct.list()]);
    for (const name of names) if (!first.has(name) || !second.has(name)) t.fail(`${name} is missing`);
    t.equal(first.size, second.size);
  });
}
