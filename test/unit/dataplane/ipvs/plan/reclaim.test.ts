/** Virtual servers whose element of PENSTOCK-SERVERS somebody deleted while no agent ran; and those of others, in our way. */
import t from 'tap';
import { type IpvsOptions, ipvsSettings } from '../../../../../src/dataplane/ipvs/desired/IpvsSettings.js';
import { FamilySync } from '../../../../../src/dataplane/ipvs/FamilySync.js';
import { masqueraded } from '../../../../../src/kernel/ipvs/RealServer.js';
import type { VirtualServer } from '../../../../../src/kernel/ipvs/VirtualServer.js';
import type { ApiObject } from '../../../../../src/objects/ApiObject.js';
import { cidr, endpoint, ip, port, service, slice, tableOf } from '../../../../support/builders.js';
import { ModelIpvs } from '../../../../support/ModelIpvs.js';

const OPTIONS: IpvsOptions = {
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  nodePortAddresses: [],
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.244.0.0/16'), IPv6: cidr('fd00:10::/32') } },
  scheduler: 'rr',
  excludeCIDRs: [],
  strictARP: false,
  timeouts: { tcp: 0, tcpFin: 0, udp: 0 },
  syncPeriodMs: 30_000,
};
const FACTS = { addresses: [ip('192.0.2.1')], randomFully: true, localhostPorts: {} };
const VIP = ip('10.96.0.10');
const KEY = `${VIP}:80/TCP`;
const ELEMENT = `${VIP},tcp:80`;
const POD = ip('10.244.1.1');
const OBJECTS: readonly ApiObject[] = [service(), slice([endpoint(POD)])];
/** In the very form of ours. */
const THEIRS: VirtualServer = {
  family: 'IPv4',
  protocol: 'TCP',
  address: VIP,
  port: 80,
  scheduler: 'rr',
  flags: 0,
  timeoutSeconds: 0,
  netmaskBits: 32,
};

/** An agent begins: what it says of the virtual server. */
async function start(kernel: ModelIpvs, objects = OBJECTS, options = OPTIONS) {
  const table = tableOf(objects);
  const sync = new FamilySync(kernel, () => 0);
  sync.take(table.commit().families.IPv4);
  kernel.messages = [];
  await sync.sync(table.servicePorts('IPv4'), ipvsSettings(options, 'IPv4', table, FACTS));
  return { said: sync.problems.map(({ message }) => message), sync };
}

async function served(objects = OBJECTS): Promise<ModelIpvs> {
  const kernel = new ModelIpvs('IPv4');
  await start(kernel, objects);
  return kernel;
}

async function put(kernel: ModelIpvs, server: VirtualServer, ...targets: readonly string[]): Promise<void> {
  await kernel.changeServers([
    { action: 'add service', service: server },
    ...targets.map((address) => ({
      action: 'add destination' as const,
      service: server,
      destination: masqueraded({ address: ip(address), port: 8080 }, 1),
    })),
  ]);
}

/** Whoever did it: the agent that follows takes over what is ours, and all is as a first start makes it. */
const lost: readonly (readonly [string, (kernel: ModelIpvs) => void])[] = [
  ['the record', () => {}],
  ['and its endpoints', ({ servers }) => servers.get(KEY)?.realServers.clear()],
  ['and its address', ({ addresses }) => addresses.clear()],
  [
    'all but its element of KUBE-CLUSTER-IP',
    ({ servers, addresses }) => {
      addresses.clear();
      servers.get(KEY)?.realServers.clear();
    },
  ],
  ['and its element of KUBE-CLUSTER-IP', ({ sets }) => sets.get('KUBE-CLUSTER-IP')?.clear()],
];
for (const [what, spoil] of lost) {
  t.test(`lost while no agent ran: ${what}`, async (t) => {
    // Another Service keeps the record from being empty: then kube-proxy's sets would decide.
    const objects = [...OBJECTS, service({ name: 'till', clusterIPs: { IPv4: ip('10.96.0.11') } })];
    const kernel = await served(objects);
    const whole = kernel.dump();
    kernel.sets.get('PENSTOCK-SERVERS')?.delete(ELEMENT);
    spoil(kernel);
    const { said, sync } = await start(kernel, objects);
    t.strictSame(said, []);
    t.strictSame(kernel.dump(), whole);
    t.notMatch(kernel.messages.join(), /delete service|add service/, 'no connection is moved');
    t.equal(await sync.verify(), undefined);
  });
}

t.test('with one trace alone it is somebody else’s', async (t) => {
  const objects = [...OBJECTS, service({ name: 'till', clusterIPs: { IPv4: ip('10.96.0.11') } })];
  const kernel = await served(objects);
  kernel.sets.get('PENSTOCK-SERVERS')?.delete(ELEMENT);
  kernel.sets.get('KUBE-CLUSTER-IP')?.delete(ELEMENT);
  kernel.addresses.delete(VIP);
  const { said } = await start(kernel, objects);
  t.match(said.join(), /somebody else made virtual server 10\.96\.0\.10:80\/TCP/);
  t.notOk(kernel.addresses.has(VIP));
});

// Seed 4124 of the simulation, mode ipvs: nothing of what the kernel had was of the form that the Service has now.
t.test('lost, and its Service became another one, while no agent ran', async (t) => {
  const till = service({ name: 'till', clusterIPs: { IPv4: ip('10.96.0.11') } });
  const kernel = await served([service({ affinitySeconds: 10_800 }), till]);
  kernel.sets.get('PENSTOCK-SERVERS')?.delete(ELEMENT);
  kernel.addresses.delete(VIP);
  const { said } = await start(kernel, [...OBJECTS, till]);
  t.strictSame(said, []);
  t.strictSame(kernel.dump(), (await served([...OBJECTS, till])).dump());
});

t.test(
  'what others made stays theirs, however like ours it is and however often an agent starts',
  async (t) => {
    for (const [what, server, target] of [
      ['another scheduler, our endpoint', { ...THEIRS, scheduler: 'lc' }, POD],
      ['our form, other endpoints', THEIRS, '10.9.9.9'],
      ['our form, our endpoint', THEIRS, POD],
    ] as const) {
      const kernel = new ModelIpvs('IPv4');
      await put(kernel, server, target);
      for (let i = 0; i < 3; i++) {
        const { said } = await start(kernel);
        t.match(said.join(), /somebody else made virtual server/, what);
        t.strictSame([...(kernel.servers.get(KEY)?.realServers.keys() ?? [])], [`${target}:8080`]);
        t.notOk(kernel.addresses.has(VIP), 'we bind no address there');
        t.notOk(kernel.sets.get('KUBE-CLUSTER-IP')?.has(ELEMENT), 'nor do our rules masquerade its clients');
        t.notOk(kernel.sets.get('PENSTOCK-SERVERS')?.has(ELEMENT));
      }
      // It makes way.
      kernel.servers.delete(KEY);
      await start(kernel);
      t.strictSame(kernel.dump(), (await served()).dump(), 'then it is ours, with all that belongs to it');
    }
  },
);

t.test('one port of a Service is in somebody’s way: the others keep elements and address', async (t) => {
  const kernel = new ModelIpvs('IPv4');
  await put(kernel, { ...THEIRS, scheduler: 'lc' }, '10.9.9.9');
  await start(kernel, [service({ ports: [port(), port({ name: 'https', port: 443 })] })]);
  t.ok(kernel.addresses.has(VIP));
  t.strictSame([...(kernel.sets.get('KUBE-CLUSTER-IP')?.keys() ?? [])], [`${VIP},tcp:443`]);
});

t.test('excludeCIDRs: never taken for ours', async (t) => {
  const kernel = await served([
    ...OBJECTS,
    service({ name: 'till', clusterIPs: { IPv4: ip('10.97.0.11') } }),
  ]);
  kernel.sets.get('PENSTOCK-SERVERS')?.delete(ELEMENT);
  const { said } = await start(kernel, OBJECTS, { ...OPTIONS, excludeCIDRs: [cidr('10.96.0.0/16')] });
  t.match(said.join(), /somebody else made virtual server/);
});
