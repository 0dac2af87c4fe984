/** What others can do to our table besides its rules and elements: it is heard, named, and put back. */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { UNHEARD } from '../../../src/dataplane/Dataplane.js';
import { isNotOurs, TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import { NftablesDataplane } from '../../../src/dataplane/nftables/NftablesDataplane.js';
import { NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import { readGeneration } from '../../../src/kernel/nftables/readGeneration.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import { TableWatch } from '../../../src/kernel/nftables/table/TableWatch.js';
import { tableOf } from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually } from '../../support/iptables.js';
import { everything, HOST_ADDRESSES, OPTIONS, openChannel } from '../../support/nftablesWorld.js';

interface Deed {
  readonly words: readonly string[];
  readonly heard: RegExp;
}

const DEEDS: Readonly<Record<string, Deed>> = {
  'the table is put to sleep': {
    words: ['add', 'table', 'ip', TABLE, '{ flags dormant; }'],
    heard: /table penstock was put to sleep: none of its rules is in force/,
  },
  'a chain drops what it does not know': {
    words: ['chain', 'ip', TABLE, 'nat-output', '{ policy drop; }'],
    heard: /chain nat-output was added or changed/,
  },
  'a map gets an element for all keys': {
    words: ['add', 'element', 'ip', TABLE, 'endpoints', '{ * : 10.9.9.9 . 80 }'],
    heard: /set endpoints got elements/,
  },
  'a verdict map gets one': {
    words: ['add', 'element', 'ip', TABLE, 'service-chains', '{ * : drop }'],
    heard: /set service-chains got elements/,
  },
  'a set gets one': {
    words: ['add', 'element', 'ip', TABLE, 'cluster-ips', '{ * }'],
    heard: /set cluster-ips got elements/,
  },
};

if (await inNetns(import.meta.url)) {
  const table = tableOf(everything());
  const changes = table.commit();
  const nothing = table.commit();
  const channel = openChannel();
  const watching = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
  let heard: string[] = [];
  const dataplane = new NftablesDataplane(
    OPTIONS,
    {
      tables: [new NftablesTable(channel, 'IPv4', TABLE)],
      addresses: () => HOST_ADDRESSES,
      generation: () => readGeneration(channel),
      watch: (handlers) =>
        void new TableWatch(watching, {
          table: TABLE,
          ownPort: channel.portId,
          ignores: isNotOurs,
          ...handlers,
        }),
      localhostPorts: () => ({}),
      close: async () => {
        watching.close();
        channel.close();
      },
    },
    { ...UNHEARD, foreignChange: (text) => heard.push(text) },
  );
  t.teardown(() => dataplane.close());
  await dataplane.sync(table, changes);
  /** The lines in any order: a chain that was made again stands at the end. */
  const listed = () =>
    execFileSync('nft', ['list', 'table', 'ip', TABLE], { encoding: 'utf8' }).split('\n').sort().join('\n');
  const right = listed();

  for (const [name, { words, heard: expected }] of Object.entries(DEEDS)) {
    t.test(name, async (t) => {
      heard = [];
      execFileSync('nft', words);
      t.not(listed(), right, 'it is another table now');
      t.ok(await eventually(async () => heard.length > 0), 'heard');
      t.match(heard.join('\n'), expected);
      await dataplane.sync(table, nothing);
      t.equal(listed(), right);
      t.same(
        (await dataplane.sync(table, nothing)).families.map(({ kind }) => kind),
        ['none'],
      );
    });
  }
}
