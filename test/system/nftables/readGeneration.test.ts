import { spawnSync } from 'node:child_process';
import t from 'tap';
import { NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import { readGeneration } from '../../../src/kernel/nftables/readGeneration.js';
import { inNetns } from '../../support/inNetns.js';
import { FakeSocket, type Sent } from '../../unit/kernel/netlink/FakeSocket.js';

t.test('a kernel without nf_tables', async (t) => {
  const socket = new FakeSocket();
  const generation = readGeneration(new NetlinkChannel(socket));
  socket.deliver(socket.outcome(socket.sent[0] as Sent, -22));
  t.equal(await generation, undefined);
});

t.test('other refusals', async (t) => {
  const socket = new FakeSocket();
  const generation = readGeneration(new NetlinkChannel(socket));
  socket.deliver(socket.outcome(socket.sent[0] as Sent, -1));
  await t.rejects(generation, { code: 'EPERM', message: /generation of the nftables rule set/ });
});

if (await inNetns(import.meta.url)) {
  t.test('changes with every change and only then', async (t) => {
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
    t.teardown(() => channel.close());
    const changes = [
      ['nft', 'add', 'table', 'ip', 'somebody'],
      ['iptables-nft', '-N', 'SOMEBODY'],
      ['iptables-nft', '-A', 'SOMEBODY', '-j', 'ACCEPT'],
      ['nft', 'flush', 'ruleset'],
    ] as const;
    let last = await readGeneration(channel);
    t.type(last, 'number');
    for (const [program, ...args] of changes) {
      t.equal(spawnSync(program, args).status, 0, `${program} ${args.join(' ')}`);
      const next = await readGeneration(channel);
      t.not(next, last, 'it differs');
      last = next;
    }
    spawnSync('nft', ['list', 'ruleset']);
    t.equal(spawnSync('nft', ['delete', 'table', 'absent']).status, 1);
    t.equal(await readGeneration(channel), last, 'neither reading nor a refused change counts');
  });
}
