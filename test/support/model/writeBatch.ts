/** Batches of nftCommands as the messages that they are. */
import { MessageFlag, NetfilterSubsystem } from '../../../src/kernel/netlink/constants.js';
import { MessageWriter } from '../../../src/kernel/netlink/MessageWriter.js';
import {
  beginNetfilterMessage,
  beginTransaction,
  endTransaction,
} from '../../../src/kernel/netlink/nfnetlink.js';
import {
  ChainAttribute,
  ElementAttribute,
  ElementList,
  HOOK_NUMBER,
  HookAttribute,
  LIST_ELEMENT,
  NftMessage,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
} from '../../../src/kernel/nftables/constants.js';
import { ipKey, portKey } from '../../../src/kernel/nftables/dataTypes.js';
import {
  expression,
  VerdictCode,
  writeData,
  writeExpression,
  writeExpressions,
  writeVerdict,
} from '../../../src/kernel/nftables/Expression.js';
import { type SetSpec, writeSetSpec } from '../../../src/kernel/nftables/SetSpec.js';
import { ip } from '../builders.js';
import { ELEMENT_TIMEOUT } from './changeElements.js';
import { RULE_POSITION } from './changeTable.js';
import {
  type Batch,
  CHAINS,
  type Command,
  type ElementDraft,
  IPV4,
  RULES,
  SETS,
  type SetName,
} from './nftCommands.js';

const HOOKS = {
  prerouting: { type: 'nat', priority: -100 },
  postrouting: { type: 'nat', priority: 100 },
  forward: { type: 'filter', priority: 0 },
} as const;

/** Where the handles of rules are found: they differ from kernel to kernel. */
export type HandleOf = (chain: string, nth: number) => number | undefined;

export function writeBatch(batch: Batch, present: number, handleOf: HandleOf): MessageWriter {
  const writer = new MessageWriter();
  const { generation } = batch;
  beginTransaction(
    writer,
    NetfilterSubsystem.NFTABLES,
    generation === undefined ? undefined : present + generation,
  );
  for (const command of batch.commands) writeCommand(writer, batch.table, command, handleOf);
  if (batch.isComplete) endTransaction(writer, NetfilterSubsystem.NFTABLES);
  else writer.addFlags(MessageFlag.ACK);
  return writer;
}

function writeCommand(writer: MessageWriter, table: string, command: Command, handleOf: HandleOf): void {
  const message = (type: number, flags: number, body: () => void) => {
    beginNetfilterMessage(writer, type, flags, IPV4);
    body();
    writer.endMessage();
  };
  switch (command.do) {
    case 'add table':
      message(NftMessage.NEW_TABLE, command.flags, () => {
        writer.string(TableAttribute.NAME, table);
        if (command.dormant !== undefined) writer.u32be(TableAttribute.FLAGS, command.dormant ? 1 : 0);
      });
      return;
    case 'delete table':
      message(NftMessage.DELETE_TABLE, command.flags, () => writer.string(TableAttribute.NAME, table));
      return;
    case 'add chain':
      message(NftMessage.NEW_CHAIN, command.flags, () => writeChain(writer, table, command));
      return;
    case 'delete chain':
      message(NftMessage.DELETE_CHAIN, command.flags, () => {
        writer.string(ChainAttribute.TABLE, table);
        writer.string(ChainAttribute.NAME, command.chain);
      });
      return;
    case 'add rule':
      message(NftMessage.NEW_RULE, command.flags, () => {
        writer.string(RuleAttribute.TABLE, table);
        writer.string(RuleAttribute.CHAIN, command.chain);
        const handle = command.beside === undefined ? undefined : handleOf(command.chain, command.beside);
        if (handle !== undefined) {
          const replaces = (command.flags & MessageFlag.REPLACE) !== 0;
          writer.u64be(replaces ? RuleAttribute.HANDLE : RULE_POSITION, handle);
        }
        const rule = RULES[command.rule] ?? [];
        writeExpressions(
          writer,
          RuleAttribute.EXPRESSIONS,
          rule.flatMap(({ expressions }) => expressions),
        );
      });
      return;
    case 'delete rule':
      message(NftMessage.DELETE_RULE, 0, () => {
        writer.string(RuleAttribute.TABLE, table);
        writer.string(RuleAttribute.CHAIN, command.chain);
        const handle = command.which === undefined ? undefined : handleOf(command.chain, command.which);
        if (handle !== undefined) writer.u64be(RuleAttribute.HANDLE, handle);
      });
      return;
    case 'add set':
      message(NftMessage.NEW_SET, command.flags, () => {
        writer.string(SetAttribute.TABLE, table);
        writeSetSpec(writer, specOf(command.set, command.variant), 1);
      });
      return;
    case 'delete set':
      message(NftMessage.DELETE_SET, command.flags, () => {
        writer.string(SetAttribute.TABLE, table);
        writer.string(SetAttribute.NAME, command.set);
      });
      return;
    default:
      writeElements(writer, table, command, message);
  }
}

function specOf(name: SetName, variant: number): SetSpec {
  const variants: readonly Omit<SetSpec, 'name'>[] = SETS[name];
  return { name, ...(variants[variant] ?? (variants[0] as Omit<SetSpec, 'name'>)) };
}

function writeChain(
  writer: MessageWriter,
  table: string,
  { chain: name, hook, policy }: Extract<Command, { do: 'add chain' }>,
): void {
  writer.string(ChainAttribute.TABLE, table);
  writer.string(ChainAttribute.NAME, name);
  const own = name in HOOKS ? (name as keyof typeof HOOKS) : undefined;
  const wanted = hook === 'its own' ? own : hook === 'another' ? 'prerouting' : undefined;
  if (wanted) {
    writer.string(ChainAttribute.TYPE, HOOKS[wanted].type);
    const nest = writer.openNest(ChainAttribute.HOOK);
    writer.u32be(HookAttribute.NUMBER, HOOK_NUMBER[wanted]);
    writer.u32be(HookAttribute.PRIORITY, HOOKS[wanted].priority);
    writer.closeNest(nest);
  }
  if (policy !== undefined) writer.u32be(ChainAttribute.POLICY, policy);
}

function writeElements(
  writer: MessageWriter,
  table: string,
  command: Extract<Command, { do: 'add elements' | 'delete elements' }>,
  message: (type: number, flags: number, body: () => void) => void,
): void {
  const isNew = command.do === 'add elements';
  const type = isNew ? NftMessage.NEW_ELEMENTS : NftMessage.DELETE_ELEMENTS;
  message(type, isNew ? command.flags : 0, () => {
    writer.string(ElementList.TABLE, table);
    writer.string(ElementList.SET, command.set);
    if (command.elements.length === 0) return;
    const list = writer.openNest(ElementList.ELEMENTS);
    for (const element of command.elements) {
      const nest = writer.openNest(LIST_ELEMENT);
      writeKey(writer, command.set, element);
      if (isNew) writeRest(writer, command.set, element);
      writer.closeNest(nest);
    }
    writer.closeNest(list);
  });
}

const address = (n: number) => ipKey(ip(`10.0.0.${n}`));

function writeKey(writer: MessageWriter, name: SetName, { key, end }: ElementDraft): void {
  if (name !== 'ranges') {
    writeData(writer, ElementAttribute.KEY, address(key));
    return;
  }
  writeData(writer, ElementAttribute.KEY, address(key) + portKey(80));
  writeData(writer, ElementAttribute.KEY_END, address(end) + portKey(80 + (end % 2)));
}

function writeRest(
  writer: MessageWriter,
  name: SetName,
  { value, named, counts, timeout }: ElementDraft,
): void {
  if (name === 'verdicts') {
    const target = CHAINS[value] ?? 'a';
    writeVerdict(writer, ElementAttribute.DATA, { code: VerdictCode.GOTO, chain: target });
  } else if (name === 'values') writeData(writer, ElementAttribute.DATA, address(value) + portKey(8080));
  else if (name === 'learned') writeData(writer, ElementAttribute.DATA, address(value));
  if (named) writer.latin1(ElementAttribute.USERDATA, `\0\x04no${value}\0`);
  if (counts) {
    const nest = writer.openNest(ElementAttribute.EXPRESSION);
    writeExpression(writer, expression('counter', { bytes: value, packets: value }));
    writer.closeNest(nest);
  }
  if (timeout !== undefined) writer.u64be(ELEMENT_TIMEOUT, timeout);
}
