import t from 'tap';
import { Ipvs } from '../../../../src/kernel/ipvs/Ipvs.js';
import type { IpvsChange } from '../../../../src/kernel/ipvs/IpvsChange.js';
import { NetlinkChannel } from '../../../../src/kernel/netlink/NetlinkChannel.js';
import type { IpAddress } from '../../../../src/net/ip.js';
import { FakeSocket, type Sent } from '../netlink/FakeSocket.js';

/** CTRL_ATTR_FAMILY_ID 28, after the generic header. */
const FAMILY_IS_28 = Uint8Array.of(1, 2, 0, 0, 6, 0, 1, 0, 28, 0, 0, 0);

async function openWith(socket: FakeSocket): Promise<Ipvs> {
  const ipvs = Ipvs.open(new NetlinkChannel(socket));
  const sent = socket.sent.at(-1) as Sent;
  socket.deliver(socket.message(sent, { type: 16, payload: FAMILY_IS_28 }), socket.outcome(sent, 0));
  return ipvs;
}

t.test('a kernel without IPVS', async (t) => {
  const socket = new FakeSocket();
  const ipvs = Ipvs.open(new NetlinkChannel(socket));
  socket.deliver(socket.outcome(socket.sent.at(-1) as Sent, -2));
  await t.rejects(ipvs, { code: 'PENSTOCK_IPVS_UNSUPPORTED', remedy: /modprobe ip_vs/ });
});

t.test('whoever may not ask is told so', async (t) => {
  const socket = new FakeSocket();
  const ipvs = Ipvs.open(new NetlinkChannel(socket));
  socket.deliver(socket.outcome(socket.sent.at(-1) as Sent, -1));
  await t.rejects(ipvs, { name: 'NetlinkError', code: 'EPERM' });
});

t.test('each refusal finds its change', async (t) => {
  const socket = new FakeSocket();
  const ipvs = await openWith(socket);
  const changes = Array.from({ length: 200 }, (_, i): IpvsChange => {
    const address = `10.0.0.${i}` as IpAddress;
    return { action: 'delete service', service: { family: 'IPv4', protocol: 'TCP', address, port: 80 } };
  });
  const committed = ipvs.commit(changes);
  const first = socket.sent.at(-1) as Sent;
  t.equal(first.type, 28);
  t.equal(first.count, 128, 'many with one sendmsg');
  const at = (sent: Sent, i: number): Sent => ({ ...sent, sequence: sent.sequence + i });
  socket.deliver(socket.outcome(at(first, 3), -3), socket.outcome(at(first, 127), 0));
  await new Promise((resolve) => setImmediate(resolve));
  const second = socket.sent.at(-1) as Sent;
  t.equal(second.count, 72);
  socket.deliver(socket.outcome(at(second, 71), -1));
  const refused = await committed;
  t.strictSame(
    refused.map(({ change }) => change),
    [changes[3], changes[199]],
  );
  t.match(refused[0]?.error, { code: 'ESRCH', message: /^-D -t 10\.0\.0\.3:80: ESRCH/ });
  t.match(refused[1]?.error, { code: 'EPERM', message: /^-D -t 10\.0\.0\.199:80: EPERM/ });
  t.strictSame(await ipvs.commit([]), []);
});
