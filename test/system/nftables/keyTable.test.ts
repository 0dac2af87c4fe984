/**
 * Tables beside the rules, looked at anew in the kernel: what is there stays, as packets that wait in queues end with a chain that goes.
 */
import t from 'tap';
import { FAILURE_CONTENT } from '../../../src/dataplane/failures/failureContent.js';
import { FAILURE_TABLE } from '../../../src/dataplane/failures/failureSets.js';
import { KeyTable } from '../../../src/dataplane/family/KeyTable.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import { openNftablesChannel } from '../../../src/kernel/nftables/table/openNftablesChannel.js';
import type { Cidr } from '../../../src/net/ip.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';

if (await inNetns(import.meta.url)) {
  const channel = openNftablesChannel();
  t.teardown(() => channel.close());
  const table = tableOf([
    service({
      type: 'LoadBalancer',
      loadBalancerIngress: [{ ip: ip('192.0.2.7'), ipMode: 'VIP' }],
      loadBalancerSourceRanges: ['198.51.100.0/25', '203.0.113.4/32'] as Cidr[],
      ports: [port({ nodePort: 30_080 })],
    }),
    slice([endpoint('10.1.0.1')]),
    service({ name: 'nobody', clusterIPs: { IPv4: ip('10.96.0.99') } }),
  ]);
  table.commit();
  const ports = table.servicePorts('IPv4');
  const listed = () => shell(`nft list table ip ${FAILURE_TABLE}`);

  for (const mode of ['iptables', 'ipvs'] as const) {
    t.test(`of failing connections, mode ${mode}`, async (t) => {
      const kernel = new NftablesTable(channel, 'IPv4', FAILURE_TABLE);
      const kept = new KeyTable(kernel, FAILURE_CONTENT);
      const sync = () => kept.sync(ports, [], { family: 'IPv4', mode, logGroup: 5, localTraffic: undefined });
      await sync();
      const written = listed();
      t.match(written, /10\.96\.0\.99 \. tcp/);
      const { committed } = kernel;
      kept.requireFull();
      await sync();
      t.equal(kernel.committed, committed, 'nothing is written again');
      for (const set of mode === 'ipvs' ? ['refused', 'source-ranges'] : ['refused']) {
        shell(`nft flush set ip ${FAILURE_TABLE} ${set}`);
        t.not(listed(), written, set);
        kept.requireFull();
        await sync();
        t.equal(listed(), written, `${set} is as it was`);
      }
      const another = new KeyTable(new NftablesTable(channel, 'IPv4', FAILURE_TABLE), FAILURE_CONTENT);
      await another.sync(ports, [], { family: 'IPv4', mode, logGroup: 5, localTraffic: undefined });
      t.equal(listed(), written, 'the next agent takes it as it is');
    });
  }
}
