/** How a table learns in which form its kernel takes rules that ask whether a map has a key. */
import t from 'tap';
import type { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import type { NetlinkChannel } from '../../../../src/kernel/netlink/NetlinkChannel.js';
import { NetlinkError } from '../../../../src/kernel/netlink/NetlinkError.js';
import { INET_SERVICE, IPV4_ADDRESS } from '../../../../src/kernel/nftables/dataTypes.js';
import { DESTINATION_PORT, FIELDS } from '../../../../src/kernel/nftables/fields.js';
import { goTo, inMap, RESET } from '../../../../src/kernel/nftables/statements.js';
import { Transaction } from '../../../../src/kernel/nftables/Transaction.js';
import { NftablesTable } from '../../../../src/kernel/nftables/table/NftablesTable.js';

const KEY = [FIELDS.IPv4.destinationAddress, DESTINATION_PORT];
const EINVAL = -22;

/** Answers one transaction after the other with the index of the message that the kernel refuses; undefined: it takes all. */
function tableOf(...refusals: readonly (number | undefined)[]) {
  const left = [...refusals];
  const sizes: number[] = [];
  const channel: Pick<NetlinkChannel, 'transaction'> = {
    async transaction(what: string, writer: MessageWriter) {
      sizes.push(writer.bytes().length);
      const index = left.shift();
      return index === undefined ? [] : [new NetlinkError(what, { errno: EINVAL, index })];
    },
  };
  return { table: new NftablesTable(channel as NetlinkChannel, 'IPv4', 'maps'), sizes };
}

function transaction(): Transaction {
  const made = new Transaction('IPv4', 'maps');
  made.newSets.push({
    name: 'places',
    key: { types: [IPV4_ADDRESS, INET_SERVICE] },
    data: { types: [INET_SERVICE] },
    size: 4,
  });
  made.addChain({ name: 'refuse', rules: [[RESET]] });
  made.addChain({ name: 'asking', rules: [[inMap(KEY, 'places'), goTo('refuse')]] });
  return made;
}

t.test('a kernel that takes the first form is asked once', async (t) => {
  const { table, sizes } = tableOf(undefined);
  t.equal(await table.check(transaction()), undefined);
  t.equal(sizes.length, 1);
});

t.test('one that refuses it is asked again, and from then on in the other form only', async (t) => {
  const { table, sizes } = tableOf(7, undefined, undefined);
  t.equal(await table.check(transaction()), undefined);
  t.equal(await table.check(transaction()), undefined);
  t.equal(sizes.length, 3);
  t.ok((sizes[1] ?? 0) > (sizes[0] ?? 0), 'a register more');
  t.equal(sizes[2], sizes[1]);
});

t.test('what is refused in both forms is no reason to change it', async (t) => {
  const { table, sizes } = tableOf(7, 7, undefined);
  t.equal((await table.check(transaction()))?.index, 7);
  await table.check(transaction());
  t.equal(sizes[2], sizes[0]);
});

t.test('what such a kernel refuses besides is told, not the form', async (t) => {
  const { table, sizes } = tableOf(7, 9, undefined);
  t.equal((await table.check(transaction()))?.index, 9);
  await table.check(transaction());
  t.equal(sizes[2], sizes[1], 'the form is known from then on');
});
