/** Elements of sets and maps: written, read and printed. */
import { AttributeReader } from '../netlink/AttributeReader.js';
import { MessageFlag, NETFILTER_HEADER } from '../netlink/constants.js';
import type { Message } from '../netlink/Message.js';
import type { MessageWriter } from '../netlink/MessageWriter.js';
import { beginNetfilterMessage } from '../netlink/nfnetlink.js';
import {
  CATCH_ALL_FLAG,
  ElementAttribute,
  ElementList,
  FAMILY_NUMBER,
  LIST_ELEMENT,
  NftMessage,
  type TableFamily,
} from './constants.js';
import { paddedBytes, printConcatenation } from './dataTypes.js';
import {
  expression,
  readData,
  readExpression,
  VerdictCode,
  writeData,
  writeExpression,
  writeVerdict,
} from './Expression.js';
import { type SetSpec, typesOf } from './SetSpec.js';

/** The kernel answers with a datagram an element; so many fit into the smallest receive buffer (212,992 bytes). */
export const ELEMENTS_PER_REQUEST = 128;

/** Keys and values are binary strings (dataTypes.ts); the value of a verdict map is a gotoValue(). */
export interface Elements {
  readonly keys: readonly string[];
  /** One for each key; empty for a set. */
  readonly values: readonly string[];
}

export interface ElementCounters {
  readonly packets: number;
  readonly bytes: number;
}

/** The key of an element for all keys that no other has; as long as no key of ours. */
export const CATCH_ALL = '*';

/** The longest comment that `nft -f` takes back from a listing, in bytes (NFTNL_UDATA_COMMENT_MAXLEN). */
const COMMENT_LIMIT = 128;
/** NFTNL_UDATA_SET_ELEM_COMMENT. */
export const COMMENT = 0;
/** Between chain and comment: neither has it. */
const NUL = '\0';

/** The value of an element that goes to a chain, with what `nft list` shows of it. `comment`: ASCII without quotes, maybe empty. */
export function gotoValue(chain: string, comment: string): string {
  return comment === '' ? chain : `${chain}${NUL}${comment.slice(0, COMMENT_LIMIT)}`;
}

/** A value of a map that is no verdict map, with what `nft list` shows of its element; as gotoValue(). */
export function commentedValue(value: string, comment: string): string {
  return value + comment.slice(0, COMMENT_LIMIT);
}

/** The chain of a gotoValue(). */
export function chainOfValue(value: string): string {
  const at = value.indexOf(NUL);
  return at < 0 ? value : value.slice(0, at);
}

function commentOfValue(value: string): string {
  const at = value.indexOf(NUL);
  return at < 0 ? '' : value.slice(at + 1);
}

/** By key. */
export type CountersByKey = ReadonlyMap<string, ElementCounters>;

const NO_COUNTERS: CountersByKey = new Map();

/** An attribute of attributes has at most 65,535 bytes; an element far fewer than the difference. */
const LIST_LIMIT = 64_000;

/** NEWSETELEM messages, as many as needed. Elements of `counters` begin with these counts, all others at 0. */
export function writeNewElements(
  writer: MessageWriter,
  family: TableFamily,
  table: string,
  spec: SetSpec,
  elements: Elements,
  counters = NO_COUNTERS,
): void {
  const { keys, values } = elements;
  const { data } = spec;
  // Of every element: the types of a set are looked at once.
  const bytes = data === undefined || data === 'verdict' ? 0 : paddedBytes(typesOf(data));
  writeLists(
    writer,
    NftMessage.NEW_ELEMENTS,
    MessageFlag.CREATE,
    family,
    table,
    spec,
    keys.length,
    (index) => {
      const key = keys[index] ?? '';
      writeKey(writer, spec, key);
      const value = values[index] ?? '';
      if (data === 'verdict') writeGoto(writer, value);
      else if (data !== undefined) writeValue(writer, bytes, value);
      const counted = counters.get(key);
      if (counted) writeCounters(writer, counted);
    },
  );
}

function writeGoto(writer: MessageWriter, value: string): void {
  writeVerdict(writer, ElementAttribute.DATA, { code: VerdictCode.GOTO, chain: chainOfValue(value) });
  writeComment(writer, commentOfValue(value));
}

function writeValue(writer: MessageWriter, bytes: number, value: string): void {
  writeData(writer, ElementAttribute.DATA, value.slice(0, bytes));
  writeComment(writer, value.slice(bytes));
}

function writeComment(writer: MessageWriter, comment: string): void {
  if (comment === '') return;
  // A type, a length, and text with a NUL at its end.
  writer.latin1(
    ElementAttribute.USERDATA,
    `${String.fromCharCode(COMMENT, comment.length + 1)}${comment}${NUL}`,
  );
}

function writeCounters(writer: MessageWriter, { packets, bytes }: ElementCounters): void {
  const nest = writer.openNest(ElementAttribute.EXPRESSION);
  writeExpression(writer, expression('counter', { bytes, packets }));
  writer.closeNest(nest);
}

/** One GETSETELEM message that asks for the given elements; they must fit into it (ELEMENTS_PER_REQUEST). */
export function writeElementRequest(
  writer: MessageWriter,
  family: TableFamily,
  table: string,
  spec: SetSpec,
  keys: readonly string[],
): void {
  writeLists(writer, NftMessage.GET_ELEMENTS, 0, family, table, spec, keys.length, (index) => {
    writeKey(writer, spec, keys[index] ?? '');
  });
}

/** DELSETELEM messages, as many as needed. */
export function writeDeletedElements(
  writer: MessageWriter,
  family: TableFamily,
  table: string,
  spec: SetSpec,
  keys: readonly string[],
): void {
  writeLists(writer, NftMessage.DELETE_ELEMENTS, 0, family, table, spec, keys.length, (index) => {
    writeKey(writer, spec, keys[index] ?? '');
  });
}

function writeLists(
  writer: MessageWriter,
  type: number,
  flags: number,
  family: TableFamily,
  table: string,
  spec: SetSpec,
  count: number,
  writeElement: (index: number) => void,
): void {
  for (let index = 0; index < count; ) {
    beginNetfilterMessage(writer, type, flags, FAMILY_NUMBER[family]);
    writer.string(ElementList.TABLE, table);
    writer.string(ElementList.SET, spec.name);
    const list = writer.openNest(ElementList.ELEMENTS);
    for (; index < count && writer.length - list < LIST_LIMIT; index++) {
      const element = writer.openNest(LIST_ELEMENT);
      writeElement(index);
      writer.closeNest(element);
    }
    writer.closeNest(list);
    writer.endMessage();
  }
}

function writeKey(writer: MessageWriter, spec: SetSpec, key: string): void {
  if (key === CATCH_ALL) {
    writer.u32be(ElementAttribute.FLAGS, CATCH_ALL_FLAG);
    return;
  }
  if (spec.kind !== 'interval') {
    writeData(writer, ElementAttribute.KEY, key);
    return;
  }
  writeData(writer, ElementAttribute.KEY, key.slice(0, key.length / 2));
  writeData(writer, ElementAttribute.KEY_END, key.slice(key.length / 2));
}

export interface ReadElement {
  readonly key: string;
  readonly value: string;
  readonly counters: ElementCounters | undefined;
}

/** Calls back for each element of the messages of a dump. */
export function readElements(messages: readonly Message[], take: (element: ReadElement) => void): void {
  for (const message of messages) {
    const attributes = message.attributes(NETFILTER_HEADER);
    while (attributes.next()) {
      if (attributes.type !== ElementList.ELEMENTS) continue;
      const list = attributes.children();
      while (list.next()) take(readElement(list.children()));
    }
  }
}

/** The element whose attributes are from `start` to `end`. */
export function readElementAt(bytes: Uint8Array, start: number, end: number): ReadElement {
  return readElement(new AttributeReader(bytes.subarray(start, end)));
}

function readElement(reader: AttributeReader): ReadElement {
  let key = '';
  let keyEnd = '';
  let value = '';
  let isGoto = false;
  let comment = '';
  let counters: ElementCounters | undefined;
  while (reader.next()) {
    if (reader.type === ElementAttribute.KEY) key = readData(reader.children()).value ?? '';
    else if (reader.type === ElementAttribute.FLAGS && (reader.u32be() & CATCH_ALL_FLAG) !== 0)
      key = CATCH_ALL;
    else if (reader.type === ElementAttribute.KEY_END) keyEnd = readData(reader.children()).value ?? '';
    else if (reader.type === ElementAttribute.DATA) {
      const data = readData(reader.children());
      // A verdict that is no goto is none of ours; its text equals no chain.
      value = data.value ?? (data.verdict?.code === VerdictCode.GOTO ? (data.verdict.chain ?? '') : NUL);
      isGoto = data.value === undefined;
    } else if (reader.type === ElementAttribute.USERDATA) comment = readComment(reader.latin1());
    else if (reader.type === ElementAttribute.EXPRESSION) counters = readCounters(reader.children());
  }
  if (comment !== '') value += isGoto ? NUL + comment : comment;
  return { key: key + keyEnd, value, counters };
}

/** What is no comment as ours are is one that differs from all of ours: the whole, with the NUL at its end. */
function readComment(data: string): string {
  const isComment =
    data.charCodeAt(0) === COMMENT && data.charCodeAt(1) === data.length - 2 && data.endsWith(NUL);
  return isComment ? data.slice(2, -1) : data;
}

function readCounters(reader: AttributeReader): ElementCounters | undefined {
  const found = readExpression(reader);
  if (found?.name !== 'counter') return undefined;
  return { packets: Number(found.values.packets ?? 0), bytes: Number(found.values.bytes ?? 0) };
}

/** `10.96.0.1 . tcp . 80 comment "shop/cart:http" : goto cluster-5`, the key alone without a value. */
export function printElement(spec: SetSpec, key: string, value?: string): string {
  const text = printKey(spec, key);
  if (value === undefined || spec.data === undefined) return text;
  const bytes = spec.data === 'verdict' ? 0 : paddedBytes(typesOf(spec.data));
  const comment = spec.data === 'verdict' ? commentOfValue(value) : value.slice(bytes);
  const is =
    spec.data === 'verdict'
      ? `goto ${chainOfValue(value)}`
      : printConcatenation(typesOf(spec.data), value.slice(0, bytes));
  return `${text}${comment === '' ? '' : ` comment ${JSON.stringify(comment)}`} : ${is}`;
}

function printKey(spec: SetSpec, key: string): string {
  if (key === CATCH_ALL) return key;
  const types = typesOf(spec.key);
  if (spec.kind !== 'interval') return printConcatenation(types, key);
  const [first, last] = [key.slice(0, key.length / 2), key.slice(key.length / 2)];
  let at = 0;
  const words = types.map((type) => {
    const part = (whole: string) => type.print(whole.slice(at, at + type.bytes));
    const word = part(first) === part(last) ? part(first) : `${part(first)}-${part(last)}`;
    at += paddedBytes([type, type]) / 2;
    return word;
  });
  return words.join(' . ');
}
