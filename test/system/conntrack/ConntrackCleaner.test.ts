/** The cleaner with this kernel: real packets through real NAT, and exactly the right entries gone. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { ConntrackCleaner } from '../../../src/dataplane/conntrack/ConntrackCleaner.js';
import { Conntrack } from '../../../src/kernel/conntrack/Conntrack.js';
import { NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import { IP_FAMILIES } from '../../../src/net/ip.js';
import type { ObjectChange } from '../../../src/objects/ApiObject.js';
import {
  endpoint,
  endpointPort,
  ip,
  port,
  remove,
  service,
  slice,
  tableOf,
  upsert,
} from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';

const HOST = ['192.168.0.2', '127.0.0.1'].map(ip);

const dns = service({
  name: 'dns',
  type: 'NodePort',
  clusterIPs: { IPv4: ip('10.96.0.10'), IPv6: ip('fd00:96::10') },
  externalIPs: [ip('1.2.3.4')],
  ports: [port({ protocol: 'UDP', port: 53, nodePort: 30053 })],
});
const web = service({ name: 'web', clusterIPs: { IPv4: ip('10.96.0.20') } });

function pods(name: string, protocol: 'UDP' | 'TCP', ...addresses: string[]) {
  const family = addresses[0]?.includes(':') ? ('IPv6' as const) : ('IPv4' as const);
  const ports = [endpointPort({ protocol, port: 5353 })];
  return upsert(
    slice(
      addresses.map((address) => endpoint(address)),
      { name: `${name}-${family}`, serviceName: name, family, ports },
    ),
  );
}

if (await inNetns(import.meta.url)) {
  const setUp = (teardown: (callback: () => Promise<void>) => void) => {
    shell('conntrack -F 2>&1');
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
    const cleaner = new ConntrackCleaner({
      conntrack: new Conntrack(channel),
      onPostponed: (cleaning) => cleaning.catch((error) => t.fail(String(error))),
      intervalMs: 0,
      urgentMs: 0,
    });
    teardown(async () => {
      await cleaner.stop();
      channel.close();
    });
    const table = tableOf([]);
    return async (...changes: ObjectChange[]) => {
      table.apply(changes);
      const { families } = table.commit();
      for (const family of IP_FAMILIES) cleaner.take(family, families[family]);
      return (await cleaner.clean(HOST)).deleted;
    };
  };

  /** Source ports tell the entries apart; returns those that are left. */
  const left = () =>
    ['ipv4', 'ipv6']
      .flatMap((family) => shell(`conntrack -L -f ${family} 2>/dev/null`).split('\n'))
      .map((line) => Number(/ sport=(\d+)/.exec(line)?.[1]))
      .filter((sourcePort) => sourcePort > 0)
      .sort();
  const udp = (sourcePort: number, to: string, toPort: number, more = '') =>
    shell(
      `conntrack -I -t 100 -p udp -s 10.0.0.1 -d ${to} --sport ${sourcePort} --dport ${toPort} ${more} 2>&1`,
    );
  const tcp = (sourcePort: number, more: string) =>
    shell(
      `conntrack -I -t 100 -p tcp -s 10.0.0.1 -d 10.96.0.20 --sport ${sourcePort} --dport 80 ${more} 2>&1`,
    );

  t.test('exactly those that contradict the table', async (t) => {
    const change = setUp((callback) => t.teardown(callback));
    const good = '--dst-nat 10.244.1.5:5353';
    const bad = '--dst-nat 10.244.1.9:5353';
    udp(1001, '10.96.0.10', 53, good);
    udp(1002, '10.96.0.10', 53, bad);
    udp(1003, '10.96.0.10', 53);
    udp(1004, '1.2.3.4', 53, bad);
    udp(1005, '192.168.0.2', 30053, bad);
    udp(1006, '192.168.0.2', 30053, good);
    udp(1007, '192.168.0.3', 30053, bad);
    udp(1008, '8.8.8.8', 53);
    udp(1009, '10.96.0.10', 53, `-w 5 ${bad}`);
    udp(1010, '10.96.0.10', 54, bad);
    udp(1011, '127.0.0.1', 30053);
    tcp(1012, '--state SYN_SENT');
    tcp(1013, '--state ESTABLISHED -u SEEN_REPLY,ASSURED --dst-nat 10.244.1.9:5353');
    tcp(1014, '--state SYN_SENT --dst-nat 10.244.2.2:5353');
    for (const [sourcePort, nat] of [
      [1015, 'fd00:10::1'],
      [1016, 'fd00:10::9'],
    ]) {
      shell(`conntrack -I -t 100 -p udp -s fd00::1 -d fd00:96::10 --sport ${sourcePort} --dport 53 \
        -r ${nat} -q fd00::1 --reply-port-src 5353 --reply-port-dst ${sourcePort} 2>&1`);
    }
    const deleted = await change(
      upsert(dns),
      upsert(web),
      pods('dns', 'UDP', '10.244.1.5', '10.244.1.6'),
      pods('dns', 'UDP', 'fd00:10::1'),
      pods('web', 'TCP', '10.244.2.2'),
    );
    t.strictSame(left(), [1001, 1006, 1007, 1008, 1009, 1010, 1013, 1014, 1015]);
    t.equal(deleted, 7);

    udp(1020, '1.2.3.4', 53, '--dst-nat 10.244.1.6:5353');
    t.equal(await change(pods('dns', 'UDP', '10.244.1.6')), 2, 'one endpoint less');
    t.equal(await change(pods('dns', 'UDP', 'fd00:10::2')), 1, 'and of IPv6');
    t.equal(await change(pods('web', 'TCP', '10.244.2.3')), 1, 'an attempt to reach an endpoint that went');
    t.strictSame(left(), [1007, 1008, 1009, 1010, 1013, 1020]);
    t.equal(await change(remove(dns)), 1);
    t.strictSame(left(), [1007, 1008, 1009, 1010, 1013]);
  });

  t.test('a client that never stops reaches the new endpoint', async (t) => {
    const change = setUp((callback) => t.teardown(callback));
    shell('ip link set lo up; ip route add 10.96.0.0/16 dev lo');
    const heard: string[] = [];
    for (const address of ['127.0.1.1', '127.0.1.2']) {
      const server = createSocket('udp4').bind(5353, address);
      await once(server, 'listening');
      t.teardown(() => server.close());
      server.on('message', (_, from) => {
        heard.push(address);
        server.send('answer', from.port, from.address);
      });
    }
    const client = createSocket('udp4');
    t.teardown(() => client.close());
    const leadTo = (address: string) =>
      shell(`iptables -w -t nat -F OUTPUT
        iptables -w -t nat -A OUTPUT -p udp -d 10.96.0.10 --dport 53 -j DNAT --to ${address}:5353`);

    leadTo('127.0.1.1');
    await change(upsert(dns), pods('dns', 'UDP', '127.0.1.1'));
    await ask(client);
    leadTo('127.0.1.2');
    await ask(client);
    t.strictSame(heard, ['127.0.1.1', '127.0.1.1'], 'new rules do not move a flow');
    t.equal(await change(pods('dns', 'UDP', '127.0.1.2')), 1);
    await ask(client);
    t.strictSame(heard, ['127.0.1.1', '127.0.1.1', '127.0.1.2']);
    t.equal(await change(pods('dns', 'UDP', '127.0.1.2', '127.0.1.3')), 0);
    t.equal(await change(pods('dns', 'UDP')), 1, 'no endpoint is left');
  });
}

async function ask(client: Socket): Promise<void> {
  const answer = once(client, 'message');
  client.send('question', 53, '10.96.0.10');
  await answer;
}
