/** A transaction as the netlink messages that carry it out. */
import { MessageFlag, NetfilterSubsystem } from '../netlink/constants.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import { beginNetfilterMessage, beginTransaction, endTransaction } from '../netlink/nfnetlink.js';
import {
  ACCEPT,
  ChainAttribute,
  FAMILY_NUMBER,
  HOOK_NUMBER,
  HookAttribute,
  NftMessage,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
} from './constants.js';
import { type MapTests, writeExpressions } from './Expression.js';
import { type CountersByKey, writeDeletedElements, writeNewElements } from './elements.js';
import { writeSetSpec } from './SetSpec.js';
import type { Rule } from './statements.js';
import type { ChainSpec, Transaction } from './Transaction.js';

/** About what an element takes in a message, in bytes, so that the buffer seldom grows. */
const BYTES_PER_ELEMENT = 76;
const BYTES_BESIDE = 16_384;
/** Of so many elements a transaction is small: its messages have place in memory that is there. */
const FEW_ELEMENTS = 512;

export interface WrittenTransaction {
  readonly writer: MessageWriter;
  /** What the message of an index is about, for errors: `map endpoints`. */
  readonly subjectOf: (messageIndex: number) => string;
}

/** What new elements begin to count from, by name of the set; without a mention from 0. */
export type CountersBySet = ReadonlyMap<string, CountersByKey>;

/** `small`: for a transaction of few elements; what was written with it before is gone then. */
export function writeTransaction(
  transaction: Transaction,
  counters: CountersBySet = new Map(),
  purpose: 'to commit' | 'to check' = 'to commit',
  mapTests: MapTests = 'as in a set',
  small?: MessageWriter,
): WrittenTransaction {
  const elements = countElements(transaction);
  const writer =
    small && elements <= FEW_ELEMENTS
      ? small
      : new MessageWriter(BYTES_BESIDE + elements * BYTES_PER_ELEMENT);
  writer.clear();
  const subjects: { readonly from: number; readonly subject: string }[] = [];
  const about = (subject: string) => subjects.push({ from: writer.messageCount, subject });
  beginTransaction(writer, NetfilterSubsystem.NFTABLES);
  writeChanges(writer, transaction, counters, mapTests, about);
  if (purpose === 'to commit') endTransaction(writer, NetfilterSubsystem.NFTABLES);
  else leaveOpen(writer);
  return {
    writer,
    subjectOf: (index) => subjects.findLast(({ from }) => from <= index)?.subject ?? 'the whole transaction',
  };
}

/** Several, of different tables, as one that the kernel looks at and takes back: to take back costs it some ten milliseconds. */
export function writeCheck(transactions: readonly Transaction[]): MessageWriter {
  const writer = new MessageWriter(BYTES_BESIDE);
  beginTransaction(writer, NetfilterSubsystem.NFTABLES);
  for (const transaction of transactions)
    writeChanges(writer, transaction, new Map(), 'as in a set', () => undefined);
  leaveOpen(writer);
  return writer;
}

/** Without its end the kernel takes back a transaction that it found good. */
function leaveOpen(writer: MessageWriter): void {
  writer.addFlags(MessageFlag.ACK);
}

function writeChanges(
  writer: MessageWriter,
  transaction: Transaction,
  counters: CountersBySet,
  mapTests: MapTests,
  about: (subject: string) => void,
): void {
  const { family, table } = transaction;
  const number = FAMILY_NUMBER[family];
  const message = (subject: string, type: number, flags: number, body: () => void) => {
    about(subject);
    beginNetfilterMessage(writer, type, flags, number);
    body();
    writer.endMessage();
  };

  if (transaction.replaceTable) {
    // To delete a table that is not there would be refused.
    for (const [kind, flags] of [
      [NftMessage.NEW_TABLE, MessageFlag.CREATE],
      [NftMessage.DELETE_TABLE, 0],
    ] as const) {
      message(`table ${table}`, kind, flags, () => writer.string(TableAttribute.NAME, table));
    }
  }
  if (transaction.createTable || transaction.replaceTable) {
    message(`table ${table}`, NftMessage.NEW_TABLE, MessageFlag.CREATE, () => {
      writer.string(TableAttribute.NAME, table);
      writer.u32be(TableAttribute.FLAGS, transaction.tableFlags);
    });
  }
  for (const chain of transaction.flushedChains) {
    message(`chain ${chain}`, NftMessage.DELETE_RULE, 0, () => {
      writer.string(RuleAttribute.TABLE, table);
      writer.string(RuleAttribute.CHAIN, chain);
    });
  }
  for (const [set, keys] of transaction.deletedElements) {
    about(`elements of ${set.name} that go`);
    writeDeletedElements(writer, family, table, set, keys);
  }
  for (const set of transaction.deletedSets) {
    message(`set ${set}`, NftMessage.DELETE_SET, 0, () => {
      writer.string(SetAttribute.TABLE, table);
      writer.string(SetAttribute.NAME, set);
    });
  }
  for (const chain of transaction.deletedChains) {
    message(`chain ${chain}`, NftMessage.DELETE_CHAIN, 0, () => {
      writer.string(ChainAttribute.TABLE, table);
      writer.string(ChainAttribute.NAME, chain);
    });
  }
  for (const [index, set] of transaction.newSets.entries()) {
    message(`set ${set.name}`, NftMessage.NEW_SET, MessageFlag.CREATE, () => {
      writer.string(SetAttribute.TABLE, table);
      writeSetSpec(writer, set, index + 1);
    });
  }
  for (const chain of transaction.newChains) {
    message(`chain ${chain.name}`, NftMessage.NEW_CHAIN, MessageFlag.CREATE, () =>
      writeChain(writer, table, chain),
    );
  }
  for (const { chain, rules } of transaction.newRules) {
    for (const [index, rule] of rules.entries()) {
      message(
        `rule ${index + 1} of chain ${chain}`,
        NftMessage.NEW_RULE,
        MessageFlag.CREATE | MessageFlag.APPEND,
        () => writeRule(writer, table, chain, rule, mapTests),
      );
    }
  }
  for (const [set, added] of transaction.newElements) {
    about(`elements of ${set.name}`);
    writeNewElements(writer, family, table, set, added, counters.get(set.name));
  }
}

function countElements({ newElements, deletedElements }: Transaction): number {
  let count = 0;
  for (const { keys } of newElements.values()) count += keys.length;
  for (const keys of deletedElements.values()) count += keys.length;
  return count;
}

function writeChain(writer: MessageWriter, table: string, { name, hook }: ChainSpec): void {
  writer.string(ChainAttribute.TABLE, table);
  writer.string(ChainAttribute.NAME, name);
  if (!hook) return;
  writer.string(ChainAttribute.TYPE, hook.type);
  const nest = writer.openNest(ChainAttribute.HOOK);
  writer.u32be(HookAttribute.NUMBER, HOOK_NUMBER[hook.hook]);
  writer.u32be(HookAttribute.PRIORITY, hook.priority);
  if (hook.device !== undefined) writer.string(HookAttribute.DEVICE, hook.device);
  writer.closeNest(nest);
  writer.u32be(ChainAttribute.POLICY, ACCEPT);
}

function writeRule(
  writer: MessageWriter,
  table: string,
  chain: string,
  rule: Rule,
  mapTests: MapTests,
): void {
  writer.string(RuleAttribute.TABLE, table);
  writer.string(RuleAttribute.CHAIN, chain);
  writeExpressions(
    writer,
    RuleAttribute.EXPRESSIONS,
    rule.flatMap((statement) => statement.expressions),
    mapTests,
  );
}
