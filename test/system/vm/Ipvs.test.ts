/** IPVS of a real kernel: what we write, read back by us and by ipvsadm; and the other way round. */
import { spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Ipvs } from '../../../src/kernel/ipvs/Ipvs.js';
import type { IpvsChange } from '../../../src/kernel/ipvs/IpvsChange.js';
import { printChange } from '../../../src/kernel/ipvs/printChange.js';
import { masqueraded } from '../../../src/kernel/ipvs/RealServer.js';
import {
  FULL_NETMASK,
  type VirtualServer,
  type VirtualServerId,
  type VirtualServerSettings,
  virtualServerKey,
} from '../../../src/kernel/ipvs/VirtualServer.js';
import { NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import { IP_FAMILIES, type IpAddress, type IpFamily } from '../../../src/net/ip.js';
import { inVm } from '../../support/inVm.js';

const SCHEDULERS = ['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'sh', 'dh', 'lblc', 'lblcr', 'mh'];

const vip = (family: IpFamily, n: number) => `${family === 'IPv4' ? '10.0.0.' : 'fd00::'}${n}` as IpAddress;
const backend = (family: IpFamily, n: number) => ({
  address: `${family === 'IPv4' ? '10.0.1.' : 'fd01::'}${n}` as IpAddress,
  port: 8080,
});

function server(id: VirtualServerId, settings: Partial<VirtualServerSettings> = {}): VirtualServer {
  return {
    scheduler: 'rr',
    flags: 0,
    timeoutSeconds: 0,
    netmaskBits: FULL_NETMASK[id.family],
    ...id,
    ...settings,
  };
}

/** Every protocol, family, scheduler and kind of virtual server, with two real servers each. */
function everything(): VirtualServer[] {
  return IP_FAMILIES.flatMap((family) => [
    ...(['TCP', 'UDP', 'SCTP'] as const).map((protocol) =>
      server({ family, protocol, address: vip(family, 1), port: 80 }),
    ),
    ...SCHEDULERS.map((scheduler, i) =>
      server({ family, protocol: 'TCP', address: vip(family, 2), port: 100 + i }, { scheduler }),
    ),
    server(
      { family, protocol: 'TCP', address: vip(family, 3), port: 80 },
      { flags: 1, timeoutSeconds: 10800 },
    ),
    server({ family, protocol: 'TCP', address: vip(family, 4), port: 0 }, { flags: 1, timeoutSeconds: 60 }),
    server(
      { family, protocol: 'UDP', address: vip(family, 5), port: 53 },
      { scheduler: 'mh', flags: 0x11, timeoutSeconds: 60, netmaskBits: family === 'IPv4' ? 24 : 64 },
    ),
    server({ family, protocol: 'UDP', address: vip(family, 6), port: 53 }, { flags: 4 }),
    server({ family, mark: 0x7000_0001 }, { scheduler: 'wlc' }),
  ]);
}

const destinations = ({ family }: VirtualServer) => [
  masqueraded(backend(family, 1), 1),
  masqueraded(backend(family, 2), 65535),
];

const fill: readonly IpvsChange[] = everything().flatMap((service): IpvsChange[] => [
  { action: 'add service', service },
  ...destinations(service).map(
    (destination): IpvsChange => ({ action: 'add destination', service, destination }),
  ),
]);

const saved = () => spawnSync('ipvsadm', ['-Sn'], { encoding: 'utf8' }).stdout.trim().split('\n').sort();

async function open(t: Test): Promise<Ipvs> {
  const channel = NetlinkChannel.open(NetlinkProtocol.GENERIC);
  t.teardown(() => {
    channel.close();
    spawnSync('ipvsadm', ['-C']);
  });
  return Ipvs.open(channel);
}

async function readAll(ipvs: Ipvs): Promise<string[]> {
  const lines: string[] = [];
  for (const { counters, ...service } of await ipvs.listServices()) {
    lines.push(printChange({ action: 'add service', service }));
    for (const destination of await ipvs.listDestinations(service)) {
      lines.push(printChange({ action: 'add destination', service, destination }));
    }
  }
  return lines.sort();
}

if (await inVm(import.meta.url)) {
  t.test('what we write, ipvsadm saves in our words, and we read', async (t) => {
    const ipvs = await open(t);
    t.strictSame(await ipvs.commit(fill), []);
    const lines = fill.map(printChange).sort();
    t.strictSame(saved(), lines);
    t.strictSame(await readAll(ipvs), lines);
    for (const service of everything()) {
      const { counters, ...state } = (await ipvs.getService(service)) ?? {};
      t.strictSame(state, service, virtualServerKey(service));
    }
  });

  t.test('what ipvsadm restores, we read', async (t) => {
    const ipvs = await open(t);
    const lines = [
      ...fill.map(printChange),
      '-A -t 192.0.2.1:80 -s rr',
      '-a -t 192.0.2.1:80 -r 192.0.2.2:80 -g -w 1',
      '-a -t 192.0.2.1:80 -r 192.0.2.3:80 -i -w 1',
    ];
    const restored = spawnSync('ipvsadm', ['-R'], { input: `${lines.join('\n')}\n`, encoding: 'utf8' });
    t.equal(restored.status, 0, restored.stderr);
    t.strictSame(await readAll(ipvs), lines.sort());
  });

  t.test('changes, and refusals with their reason', async (t) => {
    const ipvs = await open(t);
    const service = server({ family: 'IPv4', protocol: 'TCP', address: vip('IPv4', 1), port: 80 });
    const absent = { ...service, port: 81 };
    const destination = masqueraded(backend('IPv4', 1), 1);
    const changes: readonly (readonly [IpvsChange, string])[] = [
      [{ action: 'add service', service }, ''],
      [{ action: 'add service', service }, 'EEXIST'],
      [{ action: 'add service', service: { ...absent, scheduler: 'nosuch' } }, 'ENOENT'],
      [{ action: 'set service', service: absent }, 'ESRCH'],
      [{ action: 'delete service', service: absent }, 'ESRCH'],
      [{ action: 'add destination', service: absent, destination }, 'ESRCH'],
      [{ action: 'set destination', service, destination }, 'ENOENT'],
      [{ action: 'delete destination', service, destination }, 'ENOENT'],
      [{ action: 'add destination', service, destination }, ''],
      [{ action: 'add destination', service, destination }, 'EEXIST'],
      [{ action: 'set destination', service, destination: { ...destination, weight: 0 } }, ''],
      [{ action: 'set service', service: { ...service, scheduler: 'sh', flags: 1, timeoutSeconds: 9 } }, ''],
    ];
    const refused = await ipvs.commit(changes.map(([change]) => change));
    t.strictSame(
      refused.map(({ change, error }) => [change, error.code]),
      changes.filter(([, code]) => code !== ''),
    );
    t.strictSame(saved(), ['-A -t 10.0.0.1:80 -s sh -p 9', '-a -t 10.0.0.1:80 -r 10.0.1.1:8080 -m -w 0']);
    t.equal(await ipvs.getService(absent), undefined);
    t.strictSame(await ipvs.listDestinations(absent), []);
    const deleted: readonly IpvsChange[] = [
      { action: 'delete destination', service, destination },
      { action: 'delete service', service },
    ];
    t.strictSame(await ipvs.commit(deleted), []);
    t.strictSame(await ipvs.listServices(), []);
  });

  t.test('thresholds, which ipvsadm -S leaves out', async (t) => {
    const ipvs = await open(t);
    const service = server({ family: 'IPv6', protocol: 'TCP', address: vip('IPv6', 1), port: 80 });
    const destination = { ...masqueraded(backend('IPv6', 1), 3), upperThreshold: 100, lowerThreshold: 50 };
    await ipvs.commit([
      { action: 'add service', service },
      { action: 'add destination', service, destination },
    ]);
    t.match(await ipvs.listDestinations(service), [destination]);
  });

  t.test('timeouts and version', async (t) => {
    const ipvs = await open(t);
    t.match(await ipvs.info(), { version: /^1\.\d+\.\d+$/ });
    await ipvs.setTimeouts({ tcp: 901, tcpFin: 121, udp: 301 });
    await ipvs.setTimeouts({ tcp: 0, tcpFin: 122, udp: 0 });
    t.strictSame(await ipvs.getTimeouts(), { tcp: 901, tcpFin: 122, udp: 301 });
    const { stdout } = spawnSync('ipvsadm', ['-L', '--timeout'], { encoding: 'utf8' });
    t.match(stdout, /901 122 301/);
  });

  t.test('connections are counted', async (t) => {
    const ipvs = await open(t);
    const service = server({ family: 'IPv4', protocol: 'UDP', address: '127.0.0.2' as IpAddress, port: 53 });
    const destination = masqueraded({ address: '127.0.0.1' as IpAddress, port: 5353 }, 1);
    await ipvs.commit([
      { action: 'add service', service },
      { action: 'add destination', service, destination },
    ]);
    spawnSync('bash', ['--norc', '-c', 'for i in 1 2 3; do echo x >/dev/udp/127.0.0.2/53; done']);
    t.match(await ipvs.listDestinations(service), [{ activeConnections: 0, inactiveConnections: 3 }]);
    // The kernel adds counters up every two seconds.
    const counted = async () => (await ipvs.getService(service))?.counters.connections === 3;
    for (let waited = 0; waited < 5000 && !(await counted()); waited += 100) await delay(100);
    t.match(await ipvs.getService(service), { counters: { connections: 3, packetsIn: 3, bytesIn: 90 } });
    t.match(await ipvs.listDestinations(service), [{ counters: { connections: 3, packetsIn: 3 } }]);
  });
}
