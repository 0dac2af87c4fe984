import fc from 'fast-check';
import t from 'tap';
import { ipvsSettings } from '../../../../src/dataplane/ipvs/desired/IpvsSettings.js';
import { differences } from '../../../../src/dataplane/ipvs/differences.js';
import { FamilySync } from '../../../../src/dataplane/ipvs/FamilySync.js';
import type { RoutingTable } from '../../../../src/routing/RoutingTable.js';
import { changes } from '../../../support/arbitraries.js';
import { cidr, endpoint, ip, port, service, slice, tableOf } from '../../../support/builders.js';
import { ModelIpvs } from '../../../support/ModelIpvs.js';

const OPTIONS = {
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  nodePortAddresses: [],
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.244.0.0/16') } },
  scheduler: 'rr',
  excludeCIDRs: [],
  strictARP: false,
  timeouts: { tcp: 0, tcpFin: 0, udp: 0 },
  syncPeriodMs: 30_000,
} as const;

function settingsOf(table: RoutingTable) {
  const host = { addresses: [ip('192.168.1.1')], randomFully: true, localhostPorts: {} };
  return ipvsSettings(OPTIONS, 'IPv4', table, host);
}

async function synced(table: RoutingTable): Promise<ModelIpvs> {
  const kernel = new ModelIpvs('IPv4');
  const sync = new FamilySync(kernel, () => 0);
  await sync.sync(table.servicePorts('IPv4'), settingsOf(table));
  return kernel;
}

t.test('after a sync there are none, whatever the objects are', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(changes, { maxLength: 25 }), async (list) => {
      const table = tableOf([]);
      table.apply(list);
      table.commit();
      const kernel = await synced(table);
      t.strictSame(await differences(kernel, table.servicePorts('IPv4'), settingsOf(table)), []);
    }),
    { numRuns: 60 },
  );
});

t.test('what others change is told in the words of ipvsadm, ipset and iptables', async (t) => {
  const table = tableOf([
    service({
      name: 'cart',
      namespace: 'shop',
      clusterIPs: { IPv4: ip('10.96.0.10') },
      ports: [port({ port: 80 })],
    }),
    slice([endpoint('10.244.0.1'), endpoint('10.244.0.2')]),
  ]);
  table.commit();
  const ports = table.servicePorts('IPv4');
  const told = async (kernel: ModelIpvs) =>
    (await differences(kernel, ports, settingsOf(table))).map(
      ({ sign, what, service, text }) => `${sign} ${what} ${service} ${text}`,
    );

  const lost = await synced(table);
  lost.servers.clear();
  t.match((await told(lost))[0], '+ virtual server shop/cart -A -t 10.96.0.10:80');

  const unaddressed = await synced(table);
  unaddressed.addresses.clear();
  unaddressed.sets.get('KUBE-CLUSTER-IP')?.clear();
  t.strictSame(await told(unaddressed), [
    '+ address of kube-ipvs0 shop/cart 10.96.0.10',
    '+ element of KUBE-CLUSTER-IP shop/cart 10.96.0.10,tcp:80',
  ]);

  const nothing = new ModelIpvs('IPv4');
  t.strictSame(await told(nothing), [
    `+ mode ipvs (IPv4)  is not in the kernel: ${ports.size} service ports are not served by it`,
  ]);
});
