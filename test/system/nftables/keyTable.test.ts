/**
 * Tables beside the rules, looked at anew in the kernel: what is there stays, as packets that wait in queues end with a chain that goes.
 */
import t from 'tap';
import { FAILURE_CONTENT } from '../../../src/dataplane/failures/failureContent.js';
import { FAILURE_TABLE } from '../../../src/dataplane/failures/failureSets.js';
import { KeyTable } from '../../../src/dataplane/family/KeyTable.js';
import { HOLD_TABLE, holdContent } from '../../../src/dataplane/wake/holdSets.js';
import { FAMILY_NAME } from '../../../src/kernel/nftables/printTransaction.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import { openNftablesChannel } from '../../../src/kernel/nftables/table/openNftablesChannel.js';
import { type Cidr, IP_FAMILIES } from '../../../src/net/ip.js';
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

  for (const family of IP_FAMILIES) {
    t.test(`of those that sleep, ${family}`, async (t) => {
      const sleeping = tableOf([
        service({
          options: { wake: 'hold' },
          clusterIPs: { IPv4: ip('10.96.0.20'), IPv6: ip('fd00:96::20') },
          ports: [port({ nodePort: 30_080 })],
        }),
      ]);
      sleeping.commit();
      const kernel = new NftablesTable(channel, family, HOLD_TABLE);
      const content = holdContent({ ownPackets: true, nodePortAddresses: [] });
      const kept = new KeyTable(kernel, content);
      // Both ways to the queue have the same limit before them; nft has no words for the target.
      const settings = { family, queue: 28_805, nodeAddress: undefined } as const;
      const canQueue =
        (await kernel.check(await kept.plan(new Map(), { ...settings, by: 'expression' }))) === undefined;
      const sync = () =>
        kept.sync(sleeping.servicePorts(family), [], { ...settings, by: canQueue ? 'expression' : 'target' });
      await sync();
      const list = () => shell(`nft list table ${FAMILY_NAME[family]} ${HOLD_TABLE} 2>/dev/null`);
      const [ip6, vip] = family === 'IPv4' ? ['ip', '10.96.0.20'] : ['ip6', 'fd00:96::20'];
      const limited = `update @crowds { ${ip6} daddr . meta l4proto . th dport timeout 10s limit rate over 10000/second burst 4096 packets } drop`;
      t.ok(list().includes(limited), list());
      const again = `${ip6} saddr . tcp sport . ${ip6} daddr . tcp dport @waiters`;
      t.ok(list().includes(again), list());
      // As a packet would.
      shell(`nft add element ${FAMILY_NAME[family]} ${HOLD_TABLE} crowds '{ ${vip} . tcp . 80 timeout 1h }'`);
      const { committed } = kernel;
      kept.requireFull();
      await sync();
      t.equal(kernel.committed, committed, 'nothing is written again, and what rules have added stays');
      t.match(list(), /timeout 1h/);
      await kept.remove();
    });
  }
}
