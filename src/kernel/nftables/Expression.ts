/**
 * The expressions that rules are made of, as data: what each is called, which attributes it has and how they are
 * written. Numbers of linux/netfilter/nf_tables.h; the comments name its constants.
 */
import type { AttributeReader } from '../netlink/AttributeReader.js';
import type { MessageWriter } from '../netlink/MessageWriter.js';
import { DataAttribute, ExpressionAttribute, LIST_ELEMENT, VerdictAttribute } from './constants.js';

/**
 * How an attribute is written: a number in network order, a name, bytes as they are, the bytes of a register inside
 * NFTA_DATA_VALUE, or another expression.
 */
type Encoding = 'u8' | 'u16' | 'u32' | 'u64' | 'string' | 'bytes' | 'data' | 'verdict' | 'expression';

/** Expression → its attributes, in the order in which nft writes them. */
const EXPRESSIONS = {
  // NFTA_PAYLOAD_*
  payload: {
    dreg: [1, 'u32'],
    base: [2, 'u32'],
    offset: [3, 'u32'],
    length: [4, 'u32'],
    sreg: [5, 'u32'],
    checksum: [6, 'u32'],
    checksumOffset: [7, 'u32'],
  },
  // NFTA_META_*
  meta: { key: [2, 'u32'], dreg: [1, 'u32'], sreg: [3, 'u32'] },
  // NFTA_CT_*
  ct: { key: [2, 'u32'], dreg: [1, 'u32'], direction: [3, 'u8'] },
  // NFTA_FIB_*
  fib: { flags: [3, 'u32'], result: [2, 'u32'], dreg: [1, 'u32'] },
  // NFTA_SOCKET_*
  socket: { key: [1, 'u32'], dreg: [2, 'u32'] },
  // NFTA_CMP_*
  cmp: { sreg: [1, 'u32'], op: [2, 'u32'], data: [3, 'data'] },
  // NFTA_BITWISE_*
  bitwise: {
    sreg: [1, 'u32'],
    dreg: [2, 'u32'],
    length: [3, 'u32'],
    op: [6, 'u32'],
    mask: [4, 'data'],
    xor: [5, 'data'],
  },
  // NFTA_IMMEDIATE_*
  immediate: { dreg: [1, 'u32'], data: [2, 'data'], verdict: [2, 'verdict'] },
  // NFTA_LOOKUP_*
  lookup: { sreg: [2, 'u32'], dreg: [3, 'u32'], set: [1, 'string'], flags: [5, 'u32'] },
  // NFTA_NG_*
  numgen: { dreg: [1, 'u32'], modulus: [2, 'u32'], kind: [3, 'u32'], offset: [4, 'u32'] },
  // NFTA_HASH_*
  hash: {
    sreg: [1, 'u32'],
    dreg: [2, 'u32'],
    length: [3, 'u32'],
    modulus: [4, 'u32'],
    seed: [5, 'u32'],
    offset: [6, 'u32'],
    kind: [7, 'u32'],
  },
  // NFTA_NAT_*
  nat: { kind: [1, 'u32'], family: [2, 'u32'], address: [3, 'u32'], port: [5, 'u32'], flags: [7, 'u32'] },
  // NFTA_MASQ_*
  masq: { flags: [1, 'u32'] },
  // NFTA_REDIR_*
  redir: { port: [1, 'u32'], flags: [3, 'u32'] },
  // NFTA_REJECT_*
  reject: { kind: [1, 'u32'], code: [2, 'u8'] },
  // NFTA_DYNSET_*
  dynset: {
    key: [4, 'u32'],
    data: [5, 'u32'],
    op: [3, 'u32'],
    timeout: [6, 'u64'],
    set: [1, 'string'],
    each: [7, 'expression'],
  },
  // NFTA_LIMIT_*
  limit: { rate: [1, 'u64'], unit: [2, 'u64'], burst: [3, 'u32'], kind: [4, 'u32'], flags: [5, 'u32'] },
  // NFTA_LOG_*
  log: { group: [1, 'u16'], prefix: [2, 'string'], snaplen: [3, 'u32'] },
  // NFTA_QUEUE_*
  queue: { number: [1, 'u16'], total: [2, 'u16'], flags: [3, 'u16'] },
  // NFTA_TARGET_*
  target: { name: [1, 'string'], revision: [2, 'u32'], info: [3, 'bytes'] },
  // NFTA_EXTHDR_*
  exthdr: { dreg: [1, 'u32'], type: [2, 'u8'], offset: [3, 'u32'], length: [4, 'u32'], flags: [5, 'u32'] },
  // NFTA_FWD_*
  fwd: { device: [1, 'u32'], address: [2, 'u32'], family: [3, 'u32'] },
  // NFTA_DUP_*
  dup: { address: [1, 'u32'], device: [2, 'u32'] },
  // NFTA_COUNTER_*
  counter: { bytes: [1, 'u64'], packets: [2, 'u64'] },
} as const satisfies Readonly<Record<string, Readonly<Record<string, readonly [number, Encoding]>>>>;

export type ExpressionName = keyof typeof EXPRESSIONS;

/** Where a rule goes on: NFT_JUMP and NFT_GOTO with a chain, NF_DROP and NF_ACCEPT without. */
export interface Verdict {
  readonly code: number;
  readonly chain?: string;
}

export const VerdictCode = { DROP: 0, ACCEPT: 1, JUMP: -3, GOTO: -4 } as const;

type ValueOf<E extends Encoding> = E extends 'string'
  ? string
  : E extends 'data' | 'bytes'
    ? string
    : E extends 'verdict'
      ? Verdict
      : E extends 'expression'
        ? Expression
        : number;
type AttributesOf<Name extends ExpressionName> = (typeof EXPRESSIONS)[Name];

/** Attribute values by name. `data` is a binary string, one character a byte. Absent attributes are not written. */
export type ExpressionValues<Name extends ExpressionName> = {
  readonly [A in keyof AttributesOf<Name>]?: AttributesOf<Name>[A] extends readonly [
    number,
    infer E extends Encoding,
  ]
    ? ValueOf<E>
    : never;
};

type Value = number | string | Verdict | Expression;

export interface Expression {
  readonly name: ExpressionName;
  readonly values: Readonly<Record<string, Value>>;
}

/** An expression of a rule; the compiler checks the attributes of each. */
export function expression<Name extends ExpressionName>(
  name: Name,
  values: ExpressionValues<Name>,
): Expression {
  return { name, values: values as Expression['values'] };
}

/** Where a lookup that only asks whether a map has a key puts what it finds: no register of the kernel. */
export const NOWHERE = 0xffff_ffff;
/** NFT_REG_1, the first register, which what comes after does not read. */
const UNREAD = 1;

/**
 * How rules ask whether a map has a key. As in a set, which older kernels (6.1) refuse with EINVAL (nft_lookup_init); or with what is
 * found put into a register that nobody reads, which all take and nft does not list.
 */
export type MapTests = 'as in a set' | 'into a register';

/** NFTA_EXPR_NAME and NFTA_EXPR_DATA, inside the attribute that the caller has opened. */
export function writeExpression(
  writer: MessageWriter,
  { name, values }: Expression,
  mapTests: MapTests = 'as in a set',
): void {
  writer.string(ExpressionAttribute.NAME, name);
  const data = writer.openNest(ExpressionAttribute.DATA);
  for (const [attribute, [number, encoding]] of Object.entries(EXPRESSIONS[name])) {
    let value = values[attribute];
    if (value === NOWHERE && attribute === 'dreg')
      value = mapTests === 'into a register' ? UNREAD : undefined;
    if (value !== undefined) writeValue(writer, number, encoding, value);
  }
  writer.closeNest(data);
}

/** A list of expressions, each in NFTA_LIST_ELEM. */
export function writeExpressions(
  writer: MessageWriter,
  list: number,
  expressions: readonly Expression[],
  mapTests?: MapTests,
): void {
  const nest = writer.openNest(list);
  for (const each of expressions) {
    const element = writer.openNest(LIST_ELEMENT);
    writeExpression(writer, each, mapTests);
    writer.closeNest(element);
  }
  writer.closeNest(nest);
}

export function writeVerdict(writer: MessageWriter, attribute: number, { code, chain }: Verdict): void {
  const nest = writer.openNest(attribute);
  const verdict = writer.openNest(DataAttribute.VERDICT);
  writer.u32be(VerdictAttribute.CODE, code);
  if (chain !== undefined) writer.string(VerdictAttribute.CHAIN, chain);
  writer.closeNest(verdict);
  writer.closeNest(nest);
}

export function writeData(writer: MessageWriter, attribute: number, value: string): void {
  const nest = writer.openNest(attribute);
  writer.latin1(DataAttribute.VALUE, value);
  writer.closeNest(nest);
}

/** Undefined for an expression that is not ours. */
export function readExpression(reader: AttributeReader): Expression | undefined {
  let name = '';
  let values: Expression['values'] = {};
  while (reader.next()) {
    if (reader.type === ExpressionAttribute.NAME) name = reader.string();
    else if (reader.type === ExpressionAttribute.DATA && isKnown(name))
      values = readValues(name, reader.children());
  }
  return isKnown(name) ? { name, values } : undefined;
}

/** Of a rule as it was read: a lookup whose data nobody takes, as a verdict follows, asks whether a map has a key. */
export function withMapTests(rule: readonly (Expression | undefined)[]): readonly (Expression | undefined)[] {
  return rule.map((each, i) => {
    const isTest =
      each?.name === 'lookup' && each.values.dreg === UNREAD && rule[i + 1]?.values.verdict !== undefined;
    return isTest ? { ...each, values: { ...each.values, dreg: NOWHERE } } : each;
  });
}

/** NF_NAT_RANGE_MAP_IPS and NF_NAT_RANGE_PROTO_SPECIFIED, which the kernel sets where nat has an address and a port. */
const IMPLIED_NAT_FLAGS = 0x3;

/**
 * The same text for two expressions that do the same: the kernel adds attributes with their default, 0, and flags that
 * follow from others, to what it was given.
 */
export function canonicalExpression({ name, values }: Expression): string {
  const given =
    name === 'nat' && typeof values.flags === 'number'
      ? { ...values, flags: values.flags & ~IMPLIED_NAT_FLAGS }
      : values;
  const words = Object.entries(given)
    .filter(([attribute, value]) => value !== 0 && !(attribute === 'dreg' && value === NOWHERE))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([attribute, value]) => `${attribute}=${valueText(value)}`);
  return `${name} ${words.join(' ')}`;
}

function valueText(value: Value): string {
  if (typeof value !== 'object') return String(value);
  return 'code' in value ? JSON.stringify(value) : `(${canonicalExpression(value)})`;
}

function isKnown(name: string): name is ExpressionName {
  return Object.hasOwn(EXPRESSIONS, name);
}

function readValues(name: ExpressionName, reader: AttributeReader): Expression['values'] {
  const attributes = Object.entries(EXPRESSIONS[name]) as [string, readonly [number, Encoding]][];
  const values: Record<string, Value> = {};
  while (reader.next()) {
    for (const [attribute, [number, encoding]] of attributes) {
      if (number !== reader.type) continue;
      const value = readValue(reader, encoding);
      if (value !== undefined) values[attribute] = value;
    }
  }
  return values;
}

function writeValue(writer: MessageWriter, number: number, encoding: Encoding, value: Value): void {
  if (typeof value === 'object') writeNested(writer, number, value);
  else if (typeof value === 'string') {
    if (encoding === 'data') writeData(writer, number, value);
    else if (encoding === 'bytes') writer.latin1(number, value);
    else writer.string(number, value);
  } else if (encoding === 'u8') writer.u8(number, value);
  else if (encoding === 'u16') writer.u16be(number, value);
  else if (encoding === 'u64') writer.u64be(number, value);
  else writer.u32be(number, value);
}

function writeNested(writer: MessageWriter, number: number, value: Verdict | Expression): void {
  if ('code' in value) {
    writeVerdict(writer, number, value);
    return;
  }
  const nest = writer.openNest(number);
  writeExpression(writer, value);
  writer.closeNest(nest);
}

function readValue(reader: AttributeReader, encoding: Encoding): Value | undefined {
  switch (encoding) {
    case 'u8':
      return reader.u8();
    case 'u16':
      return reader.u16be();
    case 'u32':
      return reader.u32be();
    case 'u64':
      return reader.u64be();
    case 'string':
      return reader.string();
    case 'bytes':
      return reader.latin1();
    case 'data':
      return readData(reader.children()).value;
    case 'verdict':
      return readData(reader.children()).verdict;
    case 'expression':
      return readExpression(reader.children());
  }
}

export interface Data {
  readonly value?: string;
  readonly verdict?: Verdict;
}

/** What is inside NFTA_DATA_VALUE or NFTA_DATA_VERDICT. */
export function readData(reader: AttributeReader): Data {
  if (!reader.next()) return {};
  if (reader.type === DataAttribute.VALUE) return { value: reader.latin1() };
  return reader.type === DataAttribute.VERDICT ? { verdict: readVerdict(reader.children()) } : {};
}

/** What is inside NFTA_DATA_VERDICT and NFTA_TRACE_VERDICT. */
export function readVerdict(reader: AttributeReader): Verdict {
  let code: number = VerdictCode.DROP;
  let chain: string | undefined;
  while (reader.next()) {
    if (reader.type === VerdictAttribute.CODE) code = reader.u32be() | 0;
    else if (reader.type === VerdictAttribute.CHAIN) chain = reader.string();
  }
  return chain === undefined ? { code } : { code, chain };
}
