/** NEWSET and DELSET of a transaction. */
import { constants } from 'node:os';
import { MessageFlag } from '../../../src/kernel/netlink/constants.js';
import type { Message } from '../../../src/kernel/netlink/Message.js';
import {
  SET_FIELD_LENGTH,
  SetAttribute,
  SetDescription,
  SetFlag,
} from '../../../src/kernel/nftables/constants.js';
import { Attributes } from './Attributes.js';
import { type ChangeContext, familyOf, findTable, refuse } from './ChangeContext.js';
import { isSameDeclaration } from './Changes.js';
import type { ModelSet, ModelTable, SetDeclaration } from './Ruleset.js';

const { EAFNOSUPPORT, EBUSY, EEXIST, EINVAL, ENOENT, EOPNOTSUPP } = constants.errno;

/** NFT_SET_*: all that there are. */
const ALL_FLAGS = 0x1ff;
const [ANONYMOUS, CONSTANT, OBJECT] = [0x1, 0x2, 0x40];
/** NFTA_SET_TIMEOUT, NFTA_SET_EXPRESSIONS. */
const [SET_TIMEOUT, SET_EXPRESSIONS] = [11, 18];
/** NFT_DATA_VERDICT, and the bits that only it has. */
export const VERDICT = 0xffffff00;
const VERDICT_LENGTH = 16;
const MAX_DATA = 64;

export function newSet(message: Message, context: ChangeContext): void {
  const attributes = Attributes.of(message);
  const declaration = readDeclaration(attributes);
  const size = attributes.nested(SetAttribute.DESCRIPTION)?.u32(SetDescription.SIZE) ?? 0;
  const table = findTable(context.tables, familyOf(message), attributes.string(SetAttribute.TABLE));
  const name = attributes.string(SetAttribute.NAME) ?? '';
  const known = table.sets.get(name);
  if (known) {
    if ((message.flags & MessageFlag.EXCLUSIVE) !== 0) refuse(EEXIST);
    if ((message.flags & MessageFlag.REPLACE) !== 0) refuse(EOPNOTSUPP);
    if (!isSameDeclaration(known, declaration)) refuse(EEXIST);
    context.changes.repeatSet(known, size);
    return;
  }
  if ((message.flags & MessageFlag.CREATE) === 0) refuse(ENOENT);
  context.changes.addSet({
    ...declaration,
    table,
    name,
    handle: ++table.lastHandle,
    userData: attributes.bytes(SetAttribute.USERDATA),
    size,
    references: 0,
    elements: new Map(),
  });
}

function readDeclaration(attributes: Attributes): SetDeclaration {
  const needed = [SetAttribute.TABLE, SetAttribute.NAME, SetAttribute.KEY_LENGTH, SetAttribute.ID];
  if (!needed.every((type) => attributes.has(type))) refuse(EINVAL);
  const keyType = attributes.u32(SetAttribute.KEY_TYPE) ?? 0;
  if (isReserved(keyType)) refuse(EINVAL);
  const keyLength = attributes.u32(SetAttribute.KEY_LENGTH) ?? 0;
  if (keyLength === 0 || keyLength > MAX_DATA) refuse(EINVAL);
  const flags = attributes.u32(SetAttribute.FLAGS) ?? 0;
  const both = (mask: number) => (flags & mask) === mask;
  if ((flags & ~ALL_FLAGS) !== 0 || both(SetFlag.MAP | OBJECT) || both(SetFlag.DYNAMIC | OBJECT))
    refuse(EOPNOTSUPP);
  if (both(CONSTANT | SetFlag.TIMEOUT) || both(ANONYMOUS | SetFlag.TIMEOUT)) refuse(EOPNOTSUPP);
  const { dataType, dataLength } = readDataType(attributes, (flags & SetFlag.MAP) !== 0);
  const timeout = attributes.u64(SET_TIMEOUT) ?? 0;
  if (timeout !== 0 && (flags & SetFlag.TIMEOUT) === 0) refuse(EINVAL);
  const fieldLengths = readFieldLengths(attributes);
  if (fieldLengths.length > 1 !== ((flags & SetFlag.CONCAT) !== 0)) refuse(EINVAL);
  const counts = attributes.has(SetAttribute.EXPRESSION) || attributes.has(SET_EXPRESSIONS);
  return { flags, keyType, keyLength, dataType, dataLength, fieldLengths, timeout, counts };
}

function readDataType(
  attributes: Attributes,
  isMap: boolean,
): Pick<SetDeclaration, 'dataType' | 'dataLength'> {
  const dataType = attributes.u32(SetAttribute.DATA_TYPE);
  if ((dataType !== undefined) !== isMap) refuse(EINVAL);
  if (dataType === undefined) return { dataType: 0, dataLength: 0 };
  if (dataType === VERDICT) return { dataType, dataLength: VERDICT_LENGTH };
  if (isReserved(dataType)) refuse(EINVAL);
  const dataLength = attributes.u32(SetAttribute.DATA_LENGTH) ?? 0;
  if (dataLength === 0 || dataLength > MAX_DATA) refuse(EINVAL);
  return { dataType, dataLength };
}

function isReserved(type: number): boolean {
  return (type & VERDICT) >>> 0 === VERDICT;
}

function readFieldLengths(attributes: Attributes): number[] {
  const fields = attributes.nested(SetAttribute.DESCRIPTION)?.list(SetDescription.CONCAT) ?? [];
  return fields.map(({ bytes }) => Attributes.in(bytes).u32(SET_FIELD_LENGTH) ?? refuse(EINVAL));
}

export function deleteSet(message: Message, context: ChangeContext): void {
  const attributes = Attributes.of(message);
  if (familyOf(message) === 0) refuse(EAFNOSUPPORT);
  const table = findTable(context.tables, familyOf(message), attributes.string(SetAttribute.TABLE));
  const set = findSet(table, attributes.string(SetAttribute.NAME));
  const isFilled = (message.flags & MessageFlag.NON_RECURSIVE) !== 0 && set.elements.size > 0;
  if (set.references > 0 || isFilled) refuse(EBUSY);
  context.changes.deleteSet(set);
}

export function findSet(table: ModelTable, name: string | undefined): ModelSet {
  if (name === undefined) refuse(EINVAL);
  return table.sets.get(name) ?? refuse(ENOENT);
}
