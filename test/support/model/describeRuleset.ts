/** Everything that a kernel says of its tables, as sorted lines: of the real one and of the model. */
import { AttributeReader } from '../../../src/kernel/netlink/AttributeReader.js';
import { NETFILTER_HEADER } from '../../../src/kernel/netlink/constants.js';
import type { Message } from '../../../src/kernel/netlink/Message.js';
import { MessageWriter } from '../../../src/kernel/netlink/MessageWriter.js';
import type { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import { beginNetfilterMessage } from '../../../src/kernel/netlink/nfnetlink.js';
import {
  ChainAttribute,
  ElementAttribute,
  ElementList,
  HookAttribute,
  NftMessage,
  RuleAttribute,
  SetAttribute,
  SetDescription,
  TableAttribute,
} from '../../../src/kernel/nftables/constants.js';
import { canonicalExpression, readData, readExpression } from '../../../src/kernel/nftables/Expression.js';
import { Attributes, latin1 } from './Attributes.js';
import { ELEMENT_TIMEOUT } from './changeElements.js';

export interface Described {
  readonly lines: readonly string[];
  /** Handles of rules, by `table chain`, in their order. */
  readonly handles: ReadonlyMap<string, readonly number[]>;
}

export async function describeRuleset(channel: NetlinkChannel, family: number): Promise<Described> {
  const dump = (type: number, put: (writer: MessageWriter) => void = () => {}) => {
    const writer = new MessageWriter(128);
    beginNetfilterMessage(writer, type, 0, family);
    put(writer);
    writer.endMessage();
    return channel.dump('describe', writer);
  };
  const lines: string[] = [];
  const handles = new Map<string, number[]>();
  for (const message of await dump(NftMessage.GET_TABLE)) lines.push(tableLine(message));
  for (const message of await dump(NftMessage.GET_CHAIN)) lines.push(chainLine(message));
  const rules = await dump(NftMessage.GET_RULE);
  for (const message of rules) {
    const attributes = Attributes.of(message);
    const place = `${attributes.string(RuleAttribute.TABLE)} ${attributes.string(RuleAttribute.CHAIN)}`;
    const list = handles.get(place) ?? [];
    handles.set(place, list);
    lines.push(`rule ${place} ${list.length}: ${ruleText(attributes)}`);
    list.push(attributes.u64(RuleAttribute.HANDLE) ?? 0);
  }
  for (const message of await dump(NftMessage.GET_SET)) {
    lines.push(setLine(message));
    const attributes = Attributes.of(message);
    const table = attributes.string(SetAttribute.TABLE) ?? '';
    const name = attributes.string(SetAttribute.NAME) ?? '';
    const elements = await dump(NftMessage.GET_ELEMENTS, (writer) => {
      writer.string(ElementList.TABLE, table);
      writer.string(ElementList.SET, name);
    });
    for (const each of elements) {
      for (const { bytes } of Attributes.of(each).list(ElementList.ELEMENTS)) {
        lines.push(`element ${table} ${name} ${elementText(Attributes.in(bytes))}`);
      }
    }
  }
  return { lines: lines.sort(), handles };
}

function tableLine(message: Message): string {
  const attributes = Attributes.of(message);
  // NFTA_TABLE_USE
  return `table ${attributes.string(TableAttribute.NAME)} flags ${attributes.u32(TableAttribute.FLAGS)} use ${attributes.u32(3)}`;
}

function chainLine(message: Message): string {
  const attributes = Attributes.of(message);
  const hook = attributes.nested(ChainAttribute.HOOK);
  const place = hook
    ? ` ${attributes.string(ChainAttribute.TYPE)} ${hook.u32(HookAttribute.NUMBER)} ${hook.u32(HookAttribute.PRIORITY)} ${attributes.u32(ChainAttribute.POLICY)}`
    : '';
  const name = `${attributes.string(ChainAttribute.TABLE)} ${attributes.string(ChainAttribute.NAME)}`;
  // NFTA_CHAIN_USE
  return `chain ${name}${place} use ${attributes.u32(6)}`;
}

function ruleText(attributes: Attributes): string {
  return attributes
    .list(RuleAttribute.EXPRESSIONS)
    .map(({ bytes }) => readExpression(new AttributeReader(bytes)))
    .map((found) => (found ? canonicalExpression(found) : '?'))
    .join('; ');
}

function setLine(message: Message): string {
  const attributes = Attributes.of(message);
  const { FLAGS, KEY_TYPE, KEY_LENGTH, DATA_TYPE, DATA_LENGTH } = SetAttribute;
  const numbers = [FLAGS, KEY_TYPE, KEY_LENGTH, DATA_TYPE, DATA_LENGTH].map(
    (type) => attributes.u32(type) ?? 0,
  );
  const size = attributes.nested(SetAttribute.DESCRIPTION)?.u32(SetDescription.SIZE) ?? 0;
  const expression = attributes.bytes(SetAttribute.EXPRESSION);
  const counts = expression ? readExpression(new AttributeReader(expression))?.name : '';
  const name = `${attributes.string(SetAttribute.TABLE)} ${attributes.string(SetAttribute.NAME)}`;
  return `set ${name} ${numbers.join(' ')} size ${size} ${counts} ${latin1(attributes.bytes(SetAttribute.USERDATA) ?? new Uint8Array())}`;
}

function elementText(attributes: Attributes): string {
  const words = [ElementAttribute.KEY, ElementAttribute.KEY_END].map((type) => hex(attributes.bytes(type)));
  const data = attributes.bytes(ElementAttribute.DATA);
  const value = data ? readData(new AttributeReader(data)) : {};
  const shown = value.verdict
    ? JSON.stringify(value.verdict)
    : Buffer.from(value.value ?? '', 'latin1').toString('hex');
  const counter = attributes.bytes(ElementAttribute.EXPRESSION);
  const counted = counter ? readExpression(new AttributeReader(counter)) : undefined;
  const comment = latin1(attributes.bytes(ElementAttribute.USERDATA) ?? new Uint8Array());
  return `${words.join('-')} ${comment} : ${shown} ${counted ? canonicalExpression(counted) : ''} ${attributes.u64(ELEMENT_TIMEOUT) ?? ''}`;
}

function hex(bytes: Uint8Array | undefined): string {
  return bytes ? Buffer.from(bytes.subarray(4)).toString('hex') : '';
}

/** What a notice is about: `6 one a`: the message, the table, the chain or set. */
export function describeNotice(message: Message): string {
  const attributes = new Attributes(message.attributes(NETFILTER_HEADER));
  const type = message.type & 0xff;
  if (message.type === NftMessage.NEW_GENERATION) return 'generation';
  const isTable = message.type === NftMessage.NEW_TABLE || message.type === NftMessage.DELETE_TABLE;
  const isChain = message.type === NftMessage.NEW_CHAIN || message.type === NftMessage.DELETE_CHAIN;
  return `${type} ${attributes.string(1)} ${isTable ? '' : attributes.string(isChain ? ChainAttribute.NAME : 2)}`;
}
