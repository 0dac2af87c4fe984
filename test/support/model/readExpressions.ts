/** The expressions of a new rule as the kernel looks at them: what they refer to, and where they are allowed. */
import { constants } from 'node:os';
import { AttributeReader } from '../../../src/kernel/netlink/AttributeReader.js';
import {
  DataAttribute,
  ExpressionAttribute,
  LIST_ELEMENT,
  SetFlag,
  VerdictAttribute,
} from '../../../src/kernel/nftables/constants.js';
import { Refused } from './ChangeContext.js';
import type { ModelChain, ModelSet, ModelTable, ModelVerdict, PickyExpression } from './Ruleset.js';

const { EBUSY, EINVAL, ENOENT, EOPNOTSUPP } = constants.errno;

export interface ReadRule {
  readonly jumps: readonly ModelVerdict[];
  readonly sets: readonly ModelSet[];
  readonly picky: readonly PickyExpression[];
}

/** Expressions of the kernel that need nothing of the rest of the table. */
const SIMPLE = new Set([
  'bitwise',
  'byteorder',
  'cmp',
  'connlimit',
  'counter',
  'ct',
  'exthdr',
  'fib',
  'hash',
  'limit',
  'log',
  'meta',
  'notrack',
  'numgen',
  'payload',
  'quota',
  'range',
  'rt',
  'socket',
]);

/** Throws Refused. `bytes`: the content of NFTA_RULE_EXPRESSIONS. */
export function readRuleExpressions(bytes: Uint8Array, table: ModelTable): ReadRule {
  const found = {
    jumps: [] as ModelVerdict[],
    sets: [] as ModelSet[],
    picky: [] as PickyExpression[],
  };
  const list = new AttributeReader(bytes);
  while (list.next()) {
    if (list.type !== LIST_ELEMENT) throw new Refused(EINVAL);
    let name = '';
    let data = new AttributeReader(new Uint8Array());
    const expression = list.children();
    while (expression.next()) {
      if (expression.type === ExpressionAttribute.NAME) name = expression.string();
      else if (expression.type === ExpressionAttribute.DATA) data = expression.children();
    }
    readOne(name, data, table, found);
  }
  return found;
}

function readOne(
  name: string,
  data: AttributeReader,
  table: ModelTable,
  found: { jumps: ModelVerdict[]; sets: ModelSet[]; picky: PickyExpression[] },
): void {
  switch (name) {
    case 'immediate':
      while (data.next()) {
        // NFTA_IMMEDIATE_DATA
        if (data.type !== 2) continue;
        const verdict = readVerdictData(data.children(), table);
        if (verdict) found.jumps.push(verdict);
      }
      return;
    case 'lookup':
      found.sets.push(readLookup(data, table));
      return;
    case 'dynset':
      found.sets.push(readDynset(data, table));
      return;
    case 'nat':
      // NFTA_NAT_TYPE: NFT_NAT_SNAT 0, NFT_NAT_DNAT 1
      found.picky.push(numberOf(data, 1) === 1 ? 'nat destination' : 'nat source');
      return;
    case 'masq':
    case 'redir':
    case 'reject':
      found.picky.push(name);
      return;
    default:
      if (!SIMPLE.has(name)) throw new Refused(name === '' ? EINVAL : ENOENT);
  }
}

function readLookup(data: AttributeReader, table: ModelTable): ModelSet {
  let set: ModelSet | undefined;
  let [destination, flags] = [false, 0];
  while (data.next()) {
    if (data.type === 1) set = setOf(table, data.string());
    else if (data.type === 3) destination = true;
    else if (data.type === 5) flags = data.u32be();
  }
  if (!set) throw new Refused(EINVAL);
  if (destination && (flags !== 0 || (set.flags & SetFlag.MAP) === 0)) throw new Refused(EINVAL);
  return set;
}

function readDynset(data: AttributeReader, table: ModelTable): ModelSet {
  let set: ModelSet | undefined;
  let [value, timeout] = [false, false];
  while (data.next()) {
    if (data.type === 1) set = setOf(table, data.string());
    else if (data.type === 5) value = true;
    else if (data.type === 6) timeout = true;
  }
  if (!set) throw new Refused(EINVAL);
  if ((set.flags & CONSTANT) !== 0) throw new Refused(EBUSY);
  if ((set.flags & SetFlag.DYNAMIC) === 0) throw new Refused(EOPNOTSUPP);
  if (timeout && (set.flags & SetFlag.TIMEOUT) === 0) throw new Refused(EOPNOTSUPP);
  const isMap = (set.flags & SetFlag.MAP) !== 0;
  if (value !== isMap) throw new Refused(isMap ? EINVAL : EOPNOTSUPP);
  return set;
}

/** NFT_SET_CONSTANT. */
const CONSTANT = 0x2;

function setOf(table: ModelTable, name: string): ModelSet {
  const set = table.sets.get(name);
  if (!set) throw new Refused(ENOENT);
  return set;
}

function numberOf(data: AttributeReader, type: number): number {
  while (data.next()) if (data.type === type) return data.u32be();
  return 0;
}

/** NFT_JUMP, NFT_GOTO. */
const JUMP = -3;
const GOTO = -4;
/** NF_DROP, NF_ACCEPT, NF_QUEUE, NFT_CONTINUE, NFT_BREAK, NFT_RETURN. */
const PLAIN_VERDICTS = new Set([0, 1, 3, -1, -2, -5]);

/** Of NFTA_*_DATA: undefined when it is a value. Throws Refused. */
export function readVerdictData(data: AttributeReader, table: ModelTable): ModelVerdict | undefined {
  if (!data.next()) throw new Refused(EINVAL);
  if (data.type !== DataAttribute.VERDICT) return undefined;
  const reader = data.children();
  let code: number | undefined;
  let chain: ModelChain | undefined;
  while (reader.next()) {
    if (reader.type === VerdictAttribute.CODE) code = reader.u32be() | 0;
    else if (reader.type === VerdictAttribute.CHAIN) {
      chain = table.chains.get(reader.string());
      if (!chain) throw new Refused(ENOENT);
      if (chain.hook) throw new Refused(EOPNOTSUPP);
    }
  }
  if (code === JUMP || code === GOTO) {
    if (!chain) throw new Refused(EINVAL);
    return { code, chain };
  }
  if (code === undefined || !PLAIN_VERDICTS.has(code)) throw new Refused(EINVAL);
  return { code };
}
