/** Who has an address or port also depends on ages that change. */
import t from 'tap';
import type { RoutingTable } from '../../../../src/routing/RoutingTable.js';
import { ip, node, port, remove, service, tableOf, upsert } from '../../../support/builders.js';

const cluster = (n: number) => ({ IPv4: ip(`10.96.0.${n}`) });

t.test('a Service that is made anew is younger, also for those who only watch what it has', async (t) => {
  const own = ip('192.168.50.2');
  const rival = service({
    name: 'rival',
    created: 10,
    clusterIPs: cluster(1),
    ports: [port({ port: 30080 })],
    loadBalancerIngress: [{ ip: own, ipMode: 'VIP' }],
  });
  const holder = (created: number) =>
    service({ name: 'holder', created, clusterIPs: cluster(2), ports: [port({ nodePort: 30080 })] });
  const served = (table: RoutingTable) =>
    [...table.servicePorts('IPv4').values()].filter((p) => p.loadBalancerIPs.includes(own)).length;
  const table = tableOf([node({ addresses: [own] }), rival, holder(5)]);
  table.commit();
  t.equal(served(table), 0, 'the older node port wins');
  table.apply([remove(holder(5)), upsert(holder(20))]);
  table.commit();
  t.equal(served(table), 1);
  table.apply([upsert(holder(5))]);
  table.commit();
  t.equal(served(table), 0);
});
