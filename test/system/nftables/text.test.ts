/**
 * What is printed is what is written: the netlink bytes of a transaction and its text, loaded by nft, make the same
 * table. The kernel is asked twice, by nft and by ourselves.
 */

import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { UNHEARD } from '../../../src/dataplane/Dataplane.js';
import {
  type NftablesOptions,
  nftablesSettings,
} from '../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import { NftablesDataplane } from '../../../src/dataplane/nftables/NftablesDataplane.js';
import { planFull } from '../../../src/dataplane/nftables/plan/planFull.js';
import { FAMILY_NAME, printTransaction } from '../../../src/kernel/nftables/printTransaction.js';
import { readGeneration } from '../../../src/kernel/nftables/readGeneration.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import type { TableState } from '../../../src/kernel/nftables/table/TableState.js';
import { IP_FAMILIES, type IpFamily } from '../../../src/net/ip.js';
import { cidr, tableOf } from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';
import { everything, HOST_ADDRESSES, OPTIONS, openChannel } from '../../support/nftablesWorld.js';

const DETECTORS: Readonly<Record<string, Partial<NftablesOptions>>> = {
  'no detector': {},
  'a range of whole bytes': {
    detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.0.0.0/8'), IPv6: cidr('fd00:10::/64') } },
  },
  'a range of other bits': {
    detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.128.0.0/9'), IPv6: cidr('fd00:10::/61') } },
  },
  'one address': {
    detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.1.0.1/32'), IPv6: cidr('fd00:10::1/128') } },
  },
  'a bridge': { detectLocal: { type: 'BridgeInterface', name: 'cni0' } },
  'interfaces by prefix': { detectLocal: { type: 'InterfaceNamePrefix', prefix: 'veth' } },
  'masquerade all, another mark': { masqueradeAll: true, masqueradeMark: 0x80000000 },
  'node ports on listed addresses': { nodePortAddresses: [cidr('192.0.2.0/24'), cidr('2001:db8::/32')] },
  'neither pings nor counters': { answerPing: false, counters: false },
};

async function transactionOf(
  family: IpFamily,
  options: NftablesOptions,
  affinity: 'with affinity' | 'without',
) {
  // 4,093 entries an address: nft is slow, and one detector is enough for them.
  const keepsMaglev = options.detectLocal.type === 'None' && options.counters;
  const objects = everything().map((object) => {
    if (object.kind !== 'Service') return object;
    return {
      ...object,
      ...(affinity === 'without' ? { affinitySeconds: undefined } : {}),
      ...(object.options.algorithm === 'maglev' && !keepsMaglev ? { options: {} } : {}),
    };
  });
  const table = tableOf(objects);
  table.commit();
  const facts = { addresses: HOST_ADDRESSES, localhostPorts: { tcp: 40_001, udp: 40_002 } };
  const settings = nftablesSettings(options, family, table, facts);
  return (await planFull(table.servicePorts(family).values(), settings, undefined, TABLE)).transaction;
}

/**
 * Where a set has ranges, nft turns the byte order of the protocol, one byte, which does nothing and is not ours: `?`.
 */
const asLists = ({ chains, rules, sets, flags }: TableState) => ({
  flags,
  chains: [...chains].sort(),
  rules: [...rules].map(([chain, texts]) => [chain, texts.map((text) => text.replace('\n?\n', '\n'))]).sort(),
  sets: [...sets].sort(),
});

if (await inNetns(import.meta.url)) {
  const channel = openChannel();
  t.teardown(() => channel.close());
  const list = (family: IpFamily) => shell(`nft list table ${FAMILY_NAME[family]} ${TABLE}`);
  const load = (text: string) => {
    const file = join(tmpdir(), `penstock-text-${process.pid}.nft`);
    writeFileSync(file, text);
    shell(`nft -f ${file}; rm ${file}`);
  };

  for (const family of IP_FAMILIES) {
    for (const [name, options] of Object.entries(DETECTORS)) {
      t.test(`${family}, ${name}`, async (t) => {
        const kernel = new NftablesTable(channel, family, TABLE);
        // nft 1.0.6 lists the rules that learn IPv6 affinity, but aborts when it is to load them.
        const affinity = family === 'IPv4' ? 'with affinity' : 'without';
        const transaction = await transactionOf(family, { ...OPTIONS, ...options }, affinity);
        await kernel.commit(transaction);
        const written = { text: list(family), state: await kernel.readState() };
        t.ok(await kernel.delete());
        load(printTransaction(transaction));
        const loaded = { text: list(family), state: await kernel.readState() };
        t.equal(written.text, loaded.text, 'nft lists the same');
        if (!written.state || !loaded.state) throw new Error('there is no table');
        t.same(asLists(written.state), asLists(loaded.state), 'the kernel has the same expressions');
        t.ok(await kernel.delete());
        await kernel.commit(await transactionOf(family, { ...OPTIONS, ...options }, 'without'));
        const listed = list(family);
        t.ok(await kernel.delete());
        // But for the rules that learn: nft leaves out a match that it wants to have when it loads them.
        load(listed);
        t.equal(list(family), listed, 'and what nft lists, nft loads');
        t.ok(await kernel.delete());
      });
    }
  }

  t.test('IPv6 session affinity is listed', async (t) => {
    const kernel = new NftablesTable(channel, 'IPv6', TABLE);
    await kernel.commit(await transactionOf('IPv6', OPTIONS, 'with affinity'));
    t.match(
      list('IPv6'),
      /update @affinity \{ ct original ip6 saddr .* timeout 3h : ip6 daddr \. tcp dport \}/,
    );
    t.match(
      list('IPv6'),
      /update @node-port-affinity \{ ct original ip6 saddr .* timeout 1m17s : ip6 daddr \. udp dport \}/,
    );
    t.ok(await kernel.delete());
  });

  t.test('a table that was written is found right, whatever it holds', async (t) => {
    for (const options of Object.values(DETECTORS)) {
      const open = () => {
        const own = openChannel();
        return new NftablesDataplane(
          { ...OPTIONS, ...options },
          {
            tables: IP_FAMILIES.map((family) => new NftablesTable(own, family, TABLE)),
            addresses: () => HOST_ADDRESSES,
            generation: () => readGeneration(own),
            watch: () => {},
            localhostPorts: () => ({ tcp: 40_001, udp: 40_002 }),
            close: async () => own.close(),
          },
          UNHEARD,
        );
      };
      const table = tableOf(everything());
      const changes = table.commit();
      for (const expected of ['full', 'none']) {
        const dataplane = open();
        const { families } = await dataplane.sync(table, changes);
        t.same(
          families.map(({ kind }) => kind),
          [expected, expected],
        );
        await dataplane.close();
      }
      shell(`nft delete table ip ${TABLE}; nft delete table ip6 ${TABLE}`);
    }
  });
}
