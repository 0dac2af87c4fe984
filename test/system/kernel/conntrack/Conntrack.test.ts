import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { Conntrack } from '../../../../src/kernel/conntrack/Conntrack.js';
import type { ConntrackEntry } from '../../../../src/kernel/conntrack/ConntrackEntry.js';
import { ConntrackStatus, IpProtocol } from '../../../../src/kernel/conntrack/constants.js';
import { EntryDecoder } from '../../../../src/kernel/conntrack/decodeEntry.js';
import { type ConntrackFilter, dumpRequest } from '../../../../src/kernel/conntrack/requests.js';
import { NetlinkProtocol } from '../../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../../src/kernel/netlink/NetlinkChannel.js';
import { ip } from '../../../support/builders.js';
import { inNetns } from '../../../support/inNetns.js';
import { shell } from '../../../support/iptables.js';
import { ICMP, TCP_IN_ZONE_5, UDP_IPV6, UDP_WITH_NAT } from '../../../unit/kernel/conntrack/recorded.js';
import { FakeSocket, type Sent } from '../../../unit/kernel/netlink/FakeSocket.js';

const UDP4: ConntrackFilter = { family: 'IPv4', protocol: IpProtocol.UDP };
const UNREPLIED = { mask: ConntrackStatus.SEEN_REPLY, value: 0 };

function recordedEntry(): ConntrackEntry {
  const entry = new EntryDecoder().decode(UDP_WITH_NAT);
  if (entry === undefined) throw new Error('the recording is not read');
  return entry;
}

function withFakeKernel() {
  const socket = new FakeSocket();
  const conntrack = new Conntrack(new NetlinkChannel(socket));
  /** Answers the request just sent; a dump is sent only after those before it have ended. */
  const answer = async (...bytes: ((sent: Sent) => Uint8Array)[]) => {
    await new Promise((resolve) => setImmediate(resolve));
    const sent = socket.sent.at(-1) as Sent;
    socket.deliver(...bytes.map((make) => make(sent)));
  };
  return { socket, conntrack, answer };
}

t.test('a kernel without conntrack', async (t) => {
  const { socket, conntrack, answer } = withFakeKernel();
  const entry = recordedEntry();
  const calls = [
    () => conntrack.list(UDP4),
    () => conntrack.delete([entry]),
    () => conntrack.find(entry.original),
  ];
  for (const call of calls) {
    const result: Promise<unknown> = call();
    result.catch(() => {});
    await answer((sent) => socket.outcome(sent, -22));
    await t.rejects(result, { code: 'PENSTOCK_CONNTRACK_UNSUPPORTED', remedy: /nf_conntrack_netlink/ });
  }
});

t.test('other refusals are told as they are', async (t) => {
  const { socket, conntrack, answer } = withFakeKernel();
  const result = conntrack.delete([recordedEntry()]);
  result.catch(() => {});
  await answer((sent) => socket.outcome(sent, -1));
  await t.rejects(result, { name: 'NetlinkError', code: 'EPERM', message: /delete connections/ });
});

t.test('a kernel that does not select sends everything', async (t) => {
  const { socket, conntrack, answer } = withFakeKernel();
  const recordings = [UDP_WITH_NAT, ICMP, TCP_IN_ZONE_5, UDP_IPV6];
  const listed = async (filter: ConntrackFilter) => {
    const result = conntrack.list(filter);
    await answer(
      ...recordings.map(
        (payload) => (sent: Sent) => socket.message(sent, { type: 0x100, flags: 2, payload }),
      ),
      (sent) => socket.done(sent, 0),
    );
    return (await result).map((entry) => entry.original.sourcePort);
  };
  t.strictSame(await listed(UDP4), [1001]);
  t.strictSame(await listed({ ...UDP4, family: 'IPv6' }), [1004]);
  t.strictSame(await listed({ ...UDP4, protocol: IpProtocol.TCP }), [1002]);
  t.strictSame(await listed({ ...UDP4, status: UNREPLIED }), [1001]);
  t.strictSame(await listed({ ...UDP4, status: { mask: UNREPLIED.mask, value: UNREPLIED.mask } }), []);
  t.strictSame(await listed({ ...UDP4, replySource: { address: ip('10.244.1.5'), port: 5353 } }), [1001]);
  t.strictSame(await listed({ ...UDP4, replySource: { address: ip('10.244.1.5'), port: 5354 } }), []);
  t.strictSame(await listed({ ...UDP4, replySource: { address: ip('10.244.1.6'), port: 5353 } }), []);
});

t.test('which kernels select by the source of replies', async (t) => {
  const selects = (release: string) =>
    new Conntrack(new NetlinkChannel(new FakeSocket()), release).selectsReplySource('IPv4');
  t.strictSame(['6.1.0-13-amd64', '6.18.44', '10.0.1'].map(selects), [true, true, true]);
  t.strictSame(['5.15.0', '5.8.0', '6.0.19', '4.18.0-553.el8', ''].map(selects), Array(5).fill(false));
  t.equal(withFakeKernel().conntrack.selectsReplySource('IPv6'), false);
});

t.test('nothing to delete asks nothing', async (t) => {
  const { socket, conntrack } = withFakeKernel();
  t.equal(await conntrack.delete([]), 0);
  t.strictSame(socket.sent, []);
});

if (await inNetns(import.meta.url)) {
  const insert = (words: string) => shell(`conntrack -I -t 100 ${words}`);
  const client = (port: number) => `-s 10.0.0.1 -d 10.96.0.10 --sport ${port} --dport 53`;
  const open = (t: Pick<Test, 'teardown'>) => {
    shell('conntrack -F 2>&1');
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
    t.teardown(() => channel.close());
    return { channel, conntrack: new Conntrack(channel) };
  };
  const ports = (entries: readonly ConntrackEntry[]) => entries.map((e) => e.original.sourcePort).sort();

  t.test('list, as the conntrack tool made them', async (t) => {
    const { conntrack, channel } = open(t);
    t.strictSame(await conntrack.list(UDP4), []);
    insert(`-p udp ${client(1001)} --dst-nat 10.244.1.5:5353`);
    insert(`-p udp ${client(1002)} --dst-nat 10.244.1.6:5353 -u SEEN_REPLY`);
    insert(`-p udp -w 5 ${client(1003)}`);
    insert(`-p tcp --state SYN_SENT ${client(1004)}`);
    insert(`-p tcp --state ESTABLISHED -u SEEN_REPLY,ASSURED ${client(1005)}`);
    insert(`-p sctp --state ESTABLISHED --orig-vtag 1 --reply-vtag 2 ${client(1006)}`);
    insert('-p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 3');
    insert(
      '-p udp -s fd00::1 -d fd00:96::10 --sport 1007 --dport 53' +
        ' -r fd00:10::1 -q fd00::1 --reply-port-src 5353 --reply-port-dst 1007',
    );

    t.strictSame(ports(await conntrack.list(UDP4)), [1001, 1002, 1003]);
    t.strictSame(ports(await conntrack.list({ ...UDP4, status: UNREPLIED })), [1001, 1003]);
    t.strictSame(ports(await conntrack.list({ ...UDP4, protocol: 132 })), [1006]);
    t.strictSame(ports(await conntrack.list({ ...UDP4, family: 'IPv6' })), [1007]);
    const tcp = { ...UDP4, protocol: IpProtocol.TCP };
    t.strictSame(ports(await conntrack.list(tcp)), [1004, 1005]);
    t.match(await conntrack.list({ ...tcp, status: UNREPLIED }), [{ tcpState: 1, zone: 0 }]);
    t.match(await conntrack.list({ ...UDP4, replySource: { address: ip('10.244.1.6'), port: 5353 } }), [
      { original: { sourcePort: 1002 }, reply: { source: '10.244.1.6', destination: '10.0.0.1' } },
    ]);
    t.strictSame(await conntrack.list({ ...UDP4, replySource: { address: ip('10.244.1.6'), port: 53 } }), []);
    const inIpv6 = { address: ip('fd00:10::1'), port: 5353 };
    t.match(await conntrack.list({ ...UDP4, family: 'IPv6', replySource: inIpv6 }), [
      { original: { destination: 'fd00:96::10' }, reply: { source: 'fd00:10::1' } },
    ]);

    const replySource = { address: ip('10.244.1.6'), port: 5353 };
    const older = new Conntrack(channel, '5.15.0');
    t.strictSame(ports(await older.list({ ...UDP4, replySource })), [1002], 'without help of the kernel');
    const answered = await channel.dump('list', dumpRequest({ ...UDP4, replySource }));
    t.equal(answered.length, 1, 'with its help');
    const unreplied = await channel.dump('list', dumpRequest({ ...tcp, status: UNREPLIED }));
    t.equal(unreplied.length, 1, 'this kernel selects by itself');
  });

  t.test('find, in either direction', async (t) => {
    const { conntrack } = open(t);
    insert(`-p udp ${client(1001)} --dst-nat 10.244.1.5:5353`);
    const [entry] = await conntrack.list(UDP4);
    if (entry === undefined) throw new Error('the entry is missing');
    t.strictSame(await conntrack.find(entry.original), entry);
    t.strictSame(await conntrack.find(entry.reply), entry);
    t.equal(await conntrack.find({ ...entry.reply, sourcePort: 9 }), undefined);
    t.equal(await conntrack.find({ ...entry.original, protocol: IpProtocol.TCP }), undefined);
  });

  t.test('where a redirected connection was going', async (t) => {
    const { conntrack } = open(t);
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    shell(`ip link set lo up
      iptables -w -t nat -A OUTPUT -p tcp -d 127.0.0.9 --dport 80 -j DNAT --to 127.0.0.1:${port}`);
    const socket = connect(80, '127.0.0.9');
    const [accepted] = await once(server, 'connection');
    const found = await conntrack.find({
      family: 'IPv4',
      protocol: IpProtocol.TCP,
      source: ip(accepted.localAddress),
      destination: ip(accepted.remoteAddress),
      sourcePort: accepted.localPort,
      destinationPort: accepted.remotePort,
    });
    t.match(found, { original: { destination: '127.0.0.9', destinationPort: 80 }, tcpState: 3 });
    socket.destroy();
    accepted.destroy();
    server.close();
  });

  t.test('delete these and no others', async (t) => {
    const { conntrack } = open(t);
    for (const port of [1001, 1002, 1003]) insert(`-p udp ${client(port)}`);
    insert(`-p udp -w 5 ${client(1001)}`);
    insert('-p udp -s fd00::1 -d fd00:96::10 --sport 1007 --dport 53');
    const entries = await conntrack.list(UDP4);
    t.equal(entries.length, 4);
    const inZone = entries.filter((entry) => entry.zone === 5);
    t.equal(await conntrack.delete(inZone), 1);
    t.strictSame(ports(await conntrack.list(UDP4)), [1001, 1002, 1003]);
    t.equal(await conntrack.delete(inZone), 0, 'it is gone already');

    const otherIds = entries.map((entry) => ({ ...entry, id: entry.id ^ 1 }));
    t.equal(await conntrack.delete(otherIds), 0, 'the same tuples, but not that connection');
    const [kept, ...others] = await conntrack.list(UDP4);
    if (kept === undefined) throw new Error('the entries are missing');
    const refused = { ...kept, id: kept.id ^ 1 };
    t.equal(await conntrack.delete([refused, ...others]), 2, 'one that is refused does not stop the others');
    t.strictSame(await conntrack.list(UDP4), [kept]);
    t.equal(await conntrack.delete(await conntrack.list({ ...UDP4, family: 'IPv6' })), 1);
  });

  t.test('thousands', async (t) => {
    const { conntrack } = open(t);
    const flow = '-I -t 100 -p udp -s 10.0.0.1 -d 10.96.0.10 --sport & --dport 53';
    shell(`seq 2000 4999 | sed 's/.*/${flow}/' | conntrack -R - 2>&1`);
    const entries = await conntrack.list(UDP4);
    t.equal(entries.length, 3000);
    t.equal(await conntrack.delete(entries), 3000);
    t.equal(await conntrack.delete(entries), 0, 'all of a batch refused');
    t.strictSame(await conntrack.list(UDP4), []);
  });
}
