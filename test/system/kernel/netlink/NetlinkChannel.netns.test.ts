/** NetlinkChannel with this kernel: nf_tables transactions, rtnetlink batches and dumps. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import {
  MessageFlag,
  NetfilterSubsystem,
  NetlinkProtocol,
} from '../../../../src/kernel/netlink/constants.js';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import { NetlinkChannel } from '../../../../src/kernel/netlink/NetlinkChannel.js';
import {
  beginNetfilterMessage,
  beginTransaction,
  endTransaction,
  netfilterType,
} from '../../../../src/kernel/netlink/nfnetlink.js';
import { readGeneration } from '../../../../src/kernel/nftables/readGeneration.js';
import { inNetns } from '../../../support/inNetns.js';

const { NFTABLES } = NetfilterSubsystem;
const NEW_TABLE = netfilterType(NFTABLES, 0);
const DELETE_TABLE = netfilterType(NFTABLES, 2);
const NEW_CHAIN = netfilterType(NFTABLES, 3);
const IPV4 = 2;
const NFTABLES_GROUP = 7;

const GET_LINK = 18;

type Step = (writer: MessageWriter) => void;

const newTable =
  (name: string, flags = 0): Step =>
  (writer) => {
    beginNetfilterMessage(writer, NEW_TABLE, MessageFlag.CREATE | flags, IPV4);
    writer.string(1, name);
    writer.endMessage();
  };

const deleteTable =
  (name: string): Step =>
  (writer) => {
    beginNetfilterMessage(writer, DELETE_TABLE, 0, IPV4);
    writer.string(1, name);
    writer.endMessage();
  };

const newChain =
  (table: string, name: string): Step =>
  (writer) => {
    beginNetfilterMessage(writer, NEW_CHAIN, MessageFlag.CREATE, IPV4);
    writer.string(1, table);
    writer.string(3, name);
    writer.endMessage();
  };

function transactionOf(steps: readonly Step[], options: { generation?: number; subsystem?: number } = {}) {
  const { generation, subsystem = NFTABLES } = options;
  const writer = new MessageWriter();
  beginTransaction(writer, subsystem, generation);
  for (const step of steps) step(writer);
  endTransaction(writer, subsystem);
  return writer;
}

function linkRequest(writer: MessageWriter, interfaceIndex: number): void {
  writer.beginMessage(GET_LINK);
  writer.putU32(0);
  writer.putU32(interfaceIndex);
  writer.putU32(0);
  writer.putU32(0);
  writer.endMessage();
}

const tables = () => spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' }).stdout.trim().split('\n');

if (await inNetns(import.meta.url)) {
  t.test('transactions', async (t) => {
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
    t.teardown(() => channel.close());
    const commit = (writer: MessageWriter) => channel.transaction('write tables', writer);

    t.strictSame(await commit(transactionOf([newTable('one'), newTable('two')])), []);
    t.strictSame(tables(), ['table ip one', 'table ip two']);

    const refused = await commit(
      transactionOf([
        newTable('three'),
        newTable('one', MessageFlag.EXCLUSIVE),
        deleteTable('absent'),
        newTable('four'),
      ]),
    );
    t.match(refused, [
      { index: 2, code: 'EEXIST', message: /^write tables, message 2: EEXIST/ },
      { index: 3, code: 'ENOENT', offset: 20 },
    ]);
    t.strictSame(tables(), ['table ip one', 'table ip two'], 'all or nothing');

    const generation = (await readGeneration(channel)) ?? 0;
    t.match(await commit(transactionOf([newTable('three')], { generation: generation - 1 })), [
      { index: 0, code: 'ERESTART' },
    ]);
    t.strictSame(await commit(transactionOf([newTable('three')], { generation })), []);
    t.match(await commit(transactionOf([newTable('four')], { subsystem: 200 })), [{ index: 0 }]);
    t.strictSame(tables(), ['table ip one', 'table ip two', 'table ip three']);
  });

  t.test('a transaction of megabytes', async (t) => {
    const steps: Step[] = [newTable('large')];
    for (let i = 0; i < 20_000; i++) steps.push(newChain('large', `chain-with-a-rather-long-name-${i}`));
    const writer = transactionOf(steps);
    t.ok(writer.length > 1 << 20);

    const small = NetlinkChannel.open(NetlinkProtocol.NETFILTER, { sendBufferBytes: 1 << 16 });
    await t.rejects(small.transaction('write chains', writer), {
      code: 'EMSGSIZE',
      message: /^write chains: /,
    });
    small.close();

    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, { sendBufferBytes: 32 << 20 });
    t.teardown(() => channel.close());
    t.strictSame(await channel.transaction('write chains', writer), []);
    const listing = new MessageWriter();
    beginNetfilterMessage(listing, netfilterType(NFTABLES, 4), 0, IPV4);
    listing.endMessage();
    t.equal((await channel.dump('list chains', listing)).length, 20_000);
  });

  t.test('notices of our own changes are no answers', async (t) => {
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
    t.teardown(() => channel.close());
    const heard: number[] = [];
    channel.listen([NFTABLES_GROUP], { message: ({ type }) => heard.push(type), lost: () => {} });
    t.strictSame(await channel.transaction('write table', transactionOf([newTable('heard')])), []);
    // The notices come after the answer, and all of them before the next answer.
    await readGeneration(channel);
    t.ok(heard.includes(NEW_TABLE));
  });

  t.test('batches and dumps of rtnetlink', async (t) => {
    const channel = NetlinkChannel.open(NetlinkProtocol.ROUTE);
    t.teardown(() => channel.close());
    const writer = new MessageWriter();
    for (const index of [1, 77, 1, 78, 1]) linkRequest(writer, index);
    writer.addFlags(MessageFlag.ACK);
    const refused = await channel.batch('look at links', writer);
    t.strictSame(
      refused.map(({ index, code }) => [index, code]),
      [
        [1, 'ENODEV'],
        [3, 'ENODEV'],
      ],
    );
    const one = new MessageWriter();
    linkRequest(one, 1);
    t.equal((await channel.request('look at lo', one)).length, 1);
    const all = new MessageWriter();
    linkRequest(all, 0);
    const lists = await Promise.all([1, 2, 3].map(() => channel.dump('list links', all)));
    for (const list of lists) t.ok(list.length >= 1);
  });

  t.test('another network namespace that does not exist', async (t) => {
    const netns = '/proc/self/ns/absent';
    t.throws(() => NetlinkChannel.open(NetlinkProtocol.ROUTE, { netns }), { code: 'ENOENT' });
  });
}
