/** Requests that change nothing: one object, a list of objects in parts, the generation. */
import { constants } from 'node:os';
import { MessageFlag } from '../../../src/kernel/netlink/constants.js';
import type { Message } from '../../../src/kernel/netlink/Message.js';
import type { MessageWriter } from '../../../src/kernel/netlink/MessageWriter.js';
import { netfilterType } from '../../../src/kernel/netlink/nfnetlink.js';
import {
  ChainAttribute,
  ElementList,
  GenerationAttribute,
  NftMessage,
  RuleAttribute,
  SetAttribute,
  TableAttribute,
} from '../../../src/kernel/nftables/constants.js';
import { Attributes } from './Attributes.js';
import { familyOf, findTable, Refused, refuse, type Tables } from './ChangeContext.js';
import { findElement, isAlive } from './changeElements.js';
import { findSet } from './changeSet.js';
import {
  describeChain,
  describeElement,
  describeRule,
  describeSet,
  describeTable,
  openElements,
  putHeader,
} from './describeObject.js';
import { AnswerWriter, type Dump, type Errno, type ModelSocket } from './ModelSocket.js';
import { inOrder, type ModelElement, type ModelSet, type ModelTable } from './Ruleset.js';

const { EINVAL, ENOENT } = constants.errno;
/** NFT_MSG_GETGEN. */
const GET_GENERATION = netfilterType(10, 16);
/** NFPROTO_UNSPEC. */
const UNSPEC = 0;

export interface ListContext {
  readonly tables: Tables;
  readonly generation: () => number;
  readonly now: number;
  readonly partBytes: () => number;
}

export function answerRequest(message: Message, socket: ModelSocket, context: ListContext): Errno | Dump {
  try {
    if ((message.flags & MessageFlag.DUMP) !== 0 && message.type !== GET_GENERATION) {
      return listOf(message, socket, context);
    }
    answerOne(message, socket, context);
    return 0;
  } catch (error) {
    if (error instanceof Refused) return error.errno;
    throw error;
  }
}

/** One object of a list: which message it is, of which family, and its content. */
interface Item {
  readonly family: number;
  readonly describe: (writer: MessageWriter) => void;
}

function answerOne(message: Message, socket: ModelSocket, context: ListContext): void {
  const attributes = Attributes.of(message);
  const family = familyOf(message);
  const answer = (type: number, describe: (writer: MessageWriter) => void) => {
    const writer = new AnswerWriter(message.sequence, socket.portId);
    writer.message(type, 0, (body) => {
      putHeader(body, type === NftMessage.NEW_GENERATION ? UNSPEC : family, context.generation());
      describe(body);
    });
    socket.answer(writer.bytes());
  };
  const table = (attribute: number) => findTable(context.tables, family, attributes.string(attribute));
  switch (message.type) {
    case NftMessage.GET_TABLE: {
      const found = table(TableAttribute.NAME);
      answer(NftMessage.NEW_TABLE, (writer) => describeTable(writer, found));
      return;
    }
    case NftMessage.GET_CHAIN: {
      const name = attributes.string(ChainAttribute.NAME) ?? '';
      const chain = table(ChainAttribute.TABLE).chains.get(name) ?? refuse(ENOENT);
      answer(NftMessage.NEW_CHAIN, (writer) => describeChain(writer, chain));
      return;
    }
    case NftMessage.GET_SET: {
      const set = findSet(table(SetAttribute.TABLE), attributes.string(SetAttribute.NAME));
      answer(NftMessage.NEW_SET, (writer) => describeSet(writer, set));
      return;
    }
    case NftMessage.GET_ELEMENTS: {
      const set = findSet(table(ElementList.TABLE), attributes.string(ElementList.SET));
      if (!attributes.has(ElementList.ELEMENTS)) refuse(EINVAL);
      for (const { bytes } of attributes.list(ElementList.ELEMENTS)) {
        const element = findElement(set, Attributes.in(bytes), context.now);
        answer(NftMessage.NEW_ELEMENTS, (writer) => elements(writer, set, [element], context.now));
      }
      return;
    }
    case GET_GENERATION:
      answer(NftMessage.NEW_GENERATION, (writer) =>
        writer.u32be(GenerationAttribute.ID, context.generation()),
      );
      return;
    default:
      // Changes come in transactions only.
      refuse(EINVAL);
  }
}

function elements(writer: MessageWriter, set: ModelSet, list: readonly ModelElement[], now: number): void {
  const nest = openElements(writer, set);
  for (const element of list) describeElement(writer, element, now);
  writer.closeNest(nest);
}

/** Goes on from where it was, in what is there by then, and says so (NLM_F_DUMP_INTR) when that changed. */
function listOf(message: Message, socket: ModelSocket, context: ListContext): Dump {
  const { type, items } = itemsOf(message, context);
  const generation = context.generation();
  let done = 0;
  let ended = false;
  return () => {
    if (ended) return undefined;
    const interrupted = context.generation() === generation ? 0 : MessageFlag.DUMP_INTERRUPTED;
    const flags = MessageFlag.MULTI | interrupted;
    const writer = new AnswerWriter(message.sequence, socket.portId);
    const present = items();
    const limit = context.partBytes();
    for (; done < present.length && writer.length < limit; done++) {
      const item = present[done];
      if (!item) break;
      writer.message(type, flags, (body) => {
        putHeader(body, item.family, context.generation());
        item.describe(body);
      });
    }
    if (writer.length === 0) {
      ended = true;
      writer.done(interrupted);
    }
    return writer.bytes();
  };
}

/** Elements in one message of a list. */
const ELEMENTS_AT_ONCE = 32;

function itemsOf(
  message: Message,
  { tables, now }: ListContext,
): { readonly type: number; readonly items: () => readonly Item[] } {
  const attributes = Attributes.of(message);
  const family = familyOf(message);
  const ofFamily = () => inOrder(tables).filter((table) => family === UNSPEC || table.family === family);
  switch (message.type) {
    case NftMessage.GET_TABLE:
      return {
        type: NftMessage.NEW_TABLE,
        items: () => ofFamily().map((table) => itemOf(table, describeTable, table)),
      };
    case NftMessage.GET_CHAIN:
      return {
        type: NftMessage.NEW_CHAIN,
        items: () =>
          ofFamily().flatMap((table) =>
            inOrder(table.chains).map((each) => itemOf(table, describeChain, each)),
          ),
      };
    case NftMessage.GET_RULE: {
      const name = attributes.string(RuleAttribute.TABLE);
      const chain = attributes.string(RuleAttribute.CHAIN);
      return {
        type: NftMessage.NEW_RULE,
        items: () =>
          ofFamily()
            .filter((table) => name === undefined || table.name === name)
            .flatMap((table) =>
              inOrder(table.chains)
                .filter((each) => chain === undefined || each.name === chain)
                .flatMap((each) => each.rules.map((rule) => itemOf(table, describeRule, rule))),
            ),
      };
    }
    case NftMessage.GET_SET: {
      const name = attributes.string(SetAttribute.TABLE);
      if (name !== undefined) findTable(tables, family, name);
      return {
        type: NftMessage.NEW_SET,
        items: () =>
          ofFamily()
            .filter((table) => name === undefined || table.name === name)
            .flatMap((table) => inOrder(table.sets).map((each) => itemOf(table, describeSet, each))),
      };
    }
    case NftMessage.GET_ELEMENTS: {
      const [tableName, setName] = [attributes.string(ElementList.TABLE), attributes.string(ElementList.SET)];
      findSet(findTable(tables, family, tableName), setName);
      return {
        type: NftMessage.NEW_ELEMENTS,
        items: () => elementItems(tables, family, tableName, setName, now),
      };
    }
    default:
      return refuse(EINVAL);
  }
}

function itemOf<Subject>(
  table: ModelTable,
  describe: (writer: MessageWriter, subject: Subject) => void,
  subject: Subject,
): Item {
  return { family: table.family, describe: (writer) => describe(writer, subject) };
}

/** None when the set is gone by now. */
function elementItems(
  tables: Tables,
  family: number,
  tableName: string | undefined,
  setName: string | undefined,
  now: number,
): readonly Item[] {
  const table = tables.get(`${family} ${tableName}`);
  const set = table?.sets.get(setName ?? '');
  if (!set) return [];
  const living = [...set.elements.values()].filter((element) => isAlive(element, now));
  const items: Item[] = [];
  for (let first = 0; first < living.length; first += ELEMENTS_AT_ONCE) {
    const some = living.slice(first, first + ELEMENTS_AT_ONCE);
    items.push({ family, describe: (writer) => elements(writer, set, some, now) });
  }
  return items;
}
