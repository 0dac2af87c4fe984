/** Sets and maps as they are declared: to the kernel, and in nft's words. */
import type { MessageWriter } from '../netlink/MessageWriter.js';
import { LIST_ELEMENT, SET_FIELD_LENGTH, SetAttribute, SetDescription, SetFlag } from './constants.js';
import { concatenatedId, type DataType, INDEX, NAME, paddedBytes } from './dataTypes.js';
import { expression, writeExpression } from './Expression.js';
import { type Field, typeOfConcatenation } from './fields.js';

/** Fields of a packet, for types that nft has no name for; else types. */
export type KeySpec = { readonly fields: readonly Field[] } | { readonly types: readonly DataType[] };

export interface SetSpec {
  readonly name: string;
  readonly key: KeySpec;
  /** What the keys are mapped to: values, or chains to go on in. Absent for a set. */
  readonly data?: KeySpec | 'verdict';
  /** `interval`: a key is a range, first and last key one after the other. `dynamic`: rules add to it, with timeouts. */
  readonly kind?: 'interval' | 'dynamic';
  /** The most elements. The kernel then uses its faster, fixed table. */
  readonly size?: number;
  /** Every element counts the packets that it matched. */
  readonly counters?: true;
}

export function typesOf(key: KeySpec): readonly DataType[] {
  return 'types' in key ? key.types : key.fields.map((field) => field.type);
}

/** Type number of verdicts (NFT_DATA_VERDICT). */
export const VERDICT_TYPE = 0xffffff00;

/** NFT_SET_* bits. */
export function setFlags({ key, data, kind }: SetSpec): number {
  const ranges = kind === 'interval' ? SetFlag.INTERVAL | (typesOf(key).length > 1 ? SetFlag.CONCAT : 0) : 0;
  const dynamic = kind === 'dynamic' ? SetFlag.TIMEOUT | SetFlag.DYNAMIC : 0;
  return ranges | dynamic | (data === undefined ? 0 : SetFlag.MAP);
}

/** The attributes of a NEWSET message after the name of the table. `id` is unique in the transaction. */
export function writeSetSpec(writer: MessageWriter, spec: SetSpec, id: number): void {
  const { name, data, size, counters } = spec;
  const keyTypes = typesOf(spec.key);
  writer.string(SetAttribute.NAME, name);
  writer.u32be(SetAttribute.FLAGS, setFlags(spec));
  writer.u32be(SetAttribute.KEY_TYPE, concatenatedId(keyTypes));
  writer.u32be(SetAttribute.KEY_LENGTH, paddedBytes(keyTypes));
  if (data === 'verdict') {
    writer.u32be(SetAttribute.DATA_TYPE, VERDICT_TYPE);
    writer.u32be(SetAttribute.DATA_LENGTH, 0);
  } else if (data !== undefined) {
    const types = typesOf(data);
    writer.u32be(SetAttribute.DATA_TYPE, concatenatedId(types));
    writer.u32be(SetAttribute.DATA_LENGTH, paddedBytes(types));
  }
  writer.u32be(SetAttribute.ID, id);
  if (size !== undefined || spec.kind === 'interval') writeDescription(writer, spec);
  writer.latin1(SetAttribute.USERDATA, userData(spec));
  if (counters) {
    const nest = writer.openNest(SetAttribute.EXPRESSION);
    writeExpression(writer, expression('counter', {}));
    writer.closeNest(nest);
  }
}

function writeDescription(writer: MessageWriter, { key, size, kind }: SetSpec): void {
  const nest = writer.openNest(SetAttribute.DESCRIPTION);
  if (size !== undefined) writer.u32be(SetDescription.SIZE, size);
  if (kind === 'interval') {
    const concat = writer.openNest(SetDescription.CONCAT);
    for (const type of typesOf(key)) {
      const field = writer.openNest(LIST_ELEMENT);
      writer.u32be(SET_FIELD_LENGTH, type.bytes);
      writer.closeNest(field);
    }
    writer.closeNest(concat);
  }
  writer.closeNest(nest);
}

/** NFTNL_UDATA_SET_*: what only `nft list` reads. */
const UserData = {
  KEY_BYTE_ORDER: 0,
  DATA_BYTE_ORDER: 1,
  KEY_TYPEOF: 3,
  DATA_TYPEOF: 4,
  DATA_INTERVAL: 6,
} as const;
/** BYTEORDER_BIG_ENDIAN of nftables; concatenations have none. */
const BIG_ENDIAN = 2;
/** BYTEORDER_HOST_ENDIAN. */
const HOST_ENDIAN = 1;

function userData({ key, data }: SetSpec): string {
  const single = typesOf(key).length === 1;
  // An index alone is a number of the host, and its type has no name.
  const isIndex = single && typesOf(key)[0] === INDEX;
  let text = number(UserData.KEY_BYTE_ORDER, isIndex ? HOST_ENDIAN : single ? BIG_ENDIAN : 0);
  const isName = data !== undefined && data !== 'verdict' && typesOf(data)[0] === NAME;
  if (data !== undefined) text += number(UserData.DATA_BYTE_ORDER, isName ? HOST_ENDIAN : 0);
  if (isIndex) text += attribute(UserData.KEY_TYPEOF, typeOfOne(key));
  else if (!single) text += attribute(UserData.KEY_TYPEOF, typeOf(key));
  if (data !== undefined && data !== 'verdict' && !isName)
    text += attribute(UserData.DATA_TYPEOF, isIndex ? typeOfOne(data) : typeOf(data));
  if (data !== undefined) text += number(UserData.DATA_INTERVAL, 0);
  return text;
}

function typeOf(key: KeySpec): string {
  return typeOfConcatenation('fields' in key ? key.fields : []);
}

function typeOfOne(key: KeySpec): string {
  return 'fields' in key ? (key.fields[0]?.typeOf ?? '') : '';
}

function attribute(kind: number, value: string): string {
  return String.fromCharCode(kind, value.length) + value;
}

function number(kind: number, value: number): string {
  return attribute(kind, String.fromCharCode(...new Uint8Array(Uint32Array.of(value).buffer)));
}

/** The inside of the braces of `map name { … }`, a line each. */
export function printSetSpec({ key, data, kind, size, counters }: SetSpec): string[] {
  const words = (spec: KeySpec) =>
    ('fields' in spec ? spec.fields.map((f) => f.text) : spec.types.map((t) => t.name)).join(' . ');
  const value = data === undefined ? '' : ` : ${data === 'verdict' ? 'verdict' : words(data)}`;
  const lines = [`${'fields' in key ? 'typeof' : 'type'} ${words(key)}${value}`];
  if (size !== undefined) lines.push(`size ${size}`);
  if (kind !== undefined) lines.push(kind === 'interval' ? 'flags interval' : 'flags dynamic,timeout');
  if (counters) lines.push('counter');
  return lines;
}
