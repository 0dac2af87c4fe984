/** Tables of a node with many addresses: one transaction, larger than what a socket holds by default. */
import t from 'tap';
import { removeTiers } from '../../../src/balancer/tiers/removeTiers.js';
import { SlotHistory } from '../../../src/balancer/tiers/SlotHistory.js';
import { TierTables } from '../../../src/balancer/tiers/TierTables.js';
import { type TierNode, type TierService, tierContents } from '../../../src/balancer/tiers/tierContents.js';
import { openNftablesChannel } from '../../../src/kernel/nftables/table/openNftablesChannel.js';
import type { IpAddress } from '../../../src/net/ip.js';
import { LanHost, makeLan } from '../../support/balancer/lan.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';

if (await inNetns(import.meta.url)) {
  t.test('1,000 addresses that lead to three lists of nodes', async (t) => {
    makeLan();
    const host = new LanHost('node9', 9);
    const channel = openNftablesChannel();
    t.teardown(() => {
      channel.close();
      host.close();
    });
    const index = JSON.parse(shell('ip -j link show lan'))[0].ifindex;
    const nodes = new Map(
      ['b', 'c', 'd'].map((name, i): [string, TierNode] => [
        name,
        { addresses: { IPv4: `192.0.2.${i + 1}` as IpAddress }, device: { name: 'lan', index } },
      ]),
    );
    const lists = [
      ['b', 'c'],
      ['c', 'd'],
      ['b', 'd'],
    ];
    const services = Array.from({ length: 1000 }, (_, i): TierService => {
      const history = new SlotHistory();
      history.set(lists[i % lists.length] ?? [], 0);
      const address = `198.51.${100 + Math.floor(i / 250)}.${i % 250}` as IpAddress;
      return { address, protocol: 'TCP', port: 80, hash: 'flow', table: history.table, before: new Map() };
    });
    const contents = tierContents('a', services, nodes);
    t.equal(contents.tables.size, 3);
    const tables = new TierTables(channel);
    await tables.write({ contents, devices: [{ name: 'lan', index }], macs: [] });
    const listed = shell('nft list map netdev penstock-balancer services-4');
    t.equal(listed.match(/198\.51\./g)?.length, 1000);
    t.equal(await tables.areAltered(), false);
    t.same(await removeTiers('plan'), [
      'netdev penstock-balancer',
      'ip penstock-balancer',
      'ip6 penstock-balancer',
    ]);
    shell('nft delete table netdev penstock-balancer');
    t.equal(await tables.areAltered(), true, 'somebody took one away');
    await removeTiers('remove');
    t.same(await removeTiers('plan'), []);
  });
}
