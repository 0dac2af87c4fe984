import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { Ipset } from '../../../../src/kernel/ipset/Ipset.js';
import { printChange } from '../../../../src/kernel/ipset/printChange.js';
import type { SetChange } from '../../../../src/kernel/ipset/SetChange.js';
import type { SetSpec, SetType } from '../../../../src/kernel/ipset/SetSpec.js';
import { NetlinkProtocol } from '../../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../../src/kernel/netlink/NetlinkChannel.js';
import { IP_FAMILIES } from '../../../../src/net/ip.js';
import { inNetns } from '../../../support/inNetns.js';
import { FakeSocket, type Sent } from '../../../unit/kernel/netlink/FakeSocket.js';

/** IPSET_ATTR_PROTOCOL and IPSET_ATTR_PROTOCOL_MIN, after the netfilter header. */
const protocols = (newest: number, oldest: number) =>
  Uint8Array.of(2, 0, 0, 0, 5, 0, 1, 0, newest, 0, 0, 0, 5, 0, 10, 0, oldest, 0, 0, 0);

function openWith(socket: FakeSocket, newest: number, oldest: number): Promise<Ipset> {
  const ipset = Ipset.open(new NetlinkChannel(socket));
  const sent = socket.sent.at(-1) as Sent;
  const payload = protocols(newest, oldest);
  socket.deliver(socket.message(sent, { type: 0x601, payload }), socket.outcome(sent, 0));
  return ipset;
}

t.test('kernels whose sets we cannot use', async (t) => {
  const unsupported = { code: 'PENSTOCK_IPSET_UNSUPPORTED', remedy: /ip_set/ };
  const without = new FakeSocket();
  const ipset = Ipset.open(new NetlinkChannel(without));
  without.deliver(without.outcome(without.sent.at(-1) as Sent, -22));
  await t.rejects(ipset, unsupported);
  await t.rejects(openWith(new FakeSocket(), 9, 8), { ...unsupported, message: /protocols 8 to 9/ });
  await t.rejects(openWith(new FakeSocket(), 5, 5), unsupported);
  await t.resolves(openWith(new FakeSocket(), 6, 6), 'Linux before 5.0');

  const socket = new FakeSocket();
  const created = (await openWith(socket, 7, 6)).commit([
    { action: 'create', set: { name: 'x', type: 'hash:ip', family: 'IPv4' } },
  ]);
  socket.deliver(socket.outcome(socket.sent.at(-1) as Sent, -4098));
  await t.rejects(created, { ...unsupported, message: /hash:ip / });
});

const ELEMENTS: Readonly<Record<SetType, Readonly<Record<'IPv4' | 'IPv6', readonly string[]>>>> = {
  'hash:ip': { IPv4: ['10.0.0.1', '255.255.255.255'], IPv6: ['fd00::1', '2001:db8:1:2:3:4:5:6'] },
  'hash:ip,port': {
    IPv4: ['10.0.0.1,tcp:80', '10.0.0.1,udp:80', '10.0.0.1,sctp:65535'],
    IPv6: ['fd00::1,tcp:80', 'fd00::1,udp:1', 'fd00::1,sctp:80'],
  },
  'hash:ip,port,ip': { IPv4: ['10.0.0.1,tcp:80,10.0.0.2'], IPv6: ['fd00::1,tcp:80,fd00::2'] },
  'hash:ip,port,net': {
    IPv4: ['10.0.0.1,tcp:80,10.0.0.0/8', '10.0.0.1,tcp:80,192.0.2.1', '10.0.0.1,tcp:80,0.0.0.0/1'],
    IPv6: ['fd00::1,tcp:80,fd00::/64', 'fd00::1,tcp:80,fd00::2', 'fd00::1,tcp:80,8000::/1'],
  },
  'bitmap:port': { IPv4: ['0', '80', '65535'], IPv6: ['30000'] },
};

if (await inNetns(import.meta.url)) {
  const specs = (Object.keys(ELEMENTS) as SetType[]).flatMap((type, i) =>
    IP_FAMILIES.map((family): SetSpec => ({ name: `SET-${i}-${family}`, type, family })),
  );
  const marked: SetSpec = { name: 'MARKED', type: 'hash:ip,port', family: 'IPv4', extension: 'mark' };
  const open = async (t: Test) => {
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
    t.teardown(() => {
      channel.close();
      spawnSync('ipset', ['destroy']);
    });
    return Ipset.open(channel);
  };
  /** Sorted; without what is random or depends on the version of ipset. */
  const save = () => {
    const text = spawnSync('ipset', ['save'], { encoding: 'utf8' }).stdout;
    return text
      .replaceAll(/ (bucketsize|initval) \S+/g, '')
      .trim()
      .split('\n')
      .sort();
  };
  const fill: SetChange[] = [
    ...specs.flatMap((set): SetChange[] => [
      { action: 'create', set },
      ...ELEMENTS[set.type][set.family].map((element): SetChange => ({ action: 'add', set, element })),
    ]),
    { action: 'create', set: marked },
    { action: 'add', set: marked, element: '10.0.0.1,tcp:80', mark: 0xf000_0001 },
    { action: 'add', set: marked, element: '10.0.0.1,tcp:81' },
  ];

  t.test('what we write, ipset saves in our words', async (t) => {
    const ipset = await open(t);
    t.strictSame(await ipset.commit(fill), []);
    t.strictSame(save(), fill.map(printChange).sort());
    t.strictSame(await ipset.commit(fill), [], 'once more is no error');
  });

  t.test('what ipset restores, we read, and take away again', async (t) => {
    const ipset = await open(t);
    const input = `${fill.map(printChange).join('\n')}\n`;
    t.equal(spawnSync('ipset', ['-exist', 'restore'], { input }).status, 0);
    for (const set of specs) {
      const elements = ELEMENTS[set.type][set.family];
      t.strictSame(new Set((await ipset.list(set))?.keys()), new Set(elements), set.name);
    }
    t.strictSame(
      new Map(await ipset.list(marked)),
      new Map([
        ['10.0.0.1,tcp:80', 0xf000_0001],
        ['10.0.0.1,tcp:81', undefined],
      ]),
    );
    const header = (await ipset.headers()).find(({ name }) => name === marked.name);
    t.match(header, { type: 'hash:ip,port', family: 'IPv4', elements: 2, references: 0, marks: true });
    t.equal((await ipset.headers()).length, specs.length + 1);

    const undo = fill.flatMap((change): SetChange[] =>
      change.action === 'add' ? [{ action: 'delete', set: change.set, element: change.element }] : [],
    );
    t.strictSame(await ipset.commit([...undo, ...undo]), [], 'what is gone already is no error');
    for (const set of [...specs, marked]) t.equal((await ipset.list(set))?.size, 0);
    t.strictSame(await ipset.commit([...specs, marked].map((set) => ({ action: 'destroy', set }))), []);
    t.equal(await ipset.list(marked), undefined);
    t.strictSame(await ipset.headers(), []);
  });

  t.test('refusals, each with its change and its reason', async (t) => {
    const ipset = await open(t);
    const [ips, , ports] = specs as [SetSpec, SetSpec, SetSpec];
    await ipset.commit([
      { action: 'create', set: ips },
      { action: 'create', set: ports },
    ]);
    const rule = ['-w', '-A', 'INPUT', '-m', 'set', '--match-set', ips.name, 'dst', '-j', 'DROP'];
    t.equal(spawnSync('iptables', rule).status, 0);
    const nets = { name: ports.name, type: 'hash:ip,port,net', family: 'IPv4' } as const;
    const refused = await ipset.commit([
      { action: 'destroy', set: ips },
      { action: 'add', set: ports, element: '10.0.0.1,tcp:1' },
      { action: 'create', set: nets },
      { action: 'add', set: ports, element: 'fd00::1,tcp:1' },
      { action: 'add', set: { ...ports, name: 'absent' }, element: '10.0.0.1,tcp:1' },
      { action: 'add', set: ports, element: '10.0.0.2,tcp:1' },
    ]);
    t.strictSame(
      refused.map(({ change, error }) => `${printChange(change)}: ${error.code}`),
      [
        `destroy ${ips.name}: IPSET_ERR_BUSY`,
        `${printChange({ action: 'create', set: nets })}: EEXIST`,
        `add ${ports.name} fd00::1,tcp:1: IPSET_ERR_PROTOCOL`,
        'add absent 10.0.0.1,tcp:1: ENOENT',
      ],
    );
    t.match(refused[0]?.error.message, /a rule or another set refers to it/);
    t.strictSame([...((await ipset.list(ports))?.keys() ?? [])].sort(), ['10.0.0.1,tcp:1', '10.0.0.2,tcp:1']);
    spawnSync('iptables', ['-w', '-F', 'INPUT']);
  });

  t.test('a full set says so', async (t) => {
    const ipset = await open(t);
    const small = 'create SMALL hash:ip,port family inet hashsize 1024 maxelem 1\n';
    t.equal(spawnSync('ipset', ['restore'], { input: small }).status, 0);
    const set: SetSpec = { name: 'SMALL', type: 'hash:ip,port', family: 'IPv4' };
    const refused = await ipset.commit(
      [1, 2].map((port) => ({ action: 'add', set, element: `10.0.0.1,tcp:${port}` })),
    );
    t.match(refused, [{ error: { code: 'IPSET_ERR_HASH_FULL', message: /the set is full/ } }]);
  });

  t.test('thousands of elements', async (t) => {
    const ipset = await open(t);
    const set: SetSpec = { name: 'MANY', type: 'hash:ip,port', family: 'IPv4' };
    const elements = Array.from({ length: 10_000 }, (_, i) => `10.0.${i >> 8}.${i & 255},tcp:80`);
    await ipset.commit([{ action: 'create', set }]);
    t.strictSame(await ipset.commit(elements.map((element) => ({ action: 'add', set, element }))), []);
    t.strictSame(new Set((await ipset.list(set))?.keys()), new Set(elements));
  });
}
