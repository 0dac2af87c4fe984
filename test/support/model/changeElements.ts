/** NEWSETELEM and DELSETELEM of a transaction, and the elements that a GETSETELEM names. */
import { constants } from 'node:os';
import { AttributeReader } from '../../../src/kernel/netlink/AttributeReader.js';
import { MessageFlag } from '../../../src/kernel/netlink/constants.js';
import type { Message } from '../../../src/kernel/netlink/Message.js';
import {
  DataAttribute,
  ElementAttribute,
  ElementList,
  NftMessage,
  SetFlag,
} from '../../../src/kernel/nftables/constants.js';
import { readExpression } from '../../../src/kernel/nftables/Expression.js';
import { Attributes, latin1 } from './Attributes.js';
import { type ChangeContext, familyOf, findTable, refuse } from './ChangeContext.js';
import { hasRanges } from './Changes.js';
import { findSet, VERDICT } from './changeSet.js';
import type { ModelCounter, ModelElement, ModelSet } from './Ruleset.js';
import { readVerdictData } from './readExpressions.js';

const { EEXIST, EINVAL, ENFILE, ENOENT, EOPNOTSUPP } = constants.errno;

/** NFTA_SET_ELEM_TIMEOUT, NFTA_SET_ELEM_EXPIRATION. */
export const ELEMENT_TIMEOUT = 4;
export const ELEMENT_EXPIRATION = 5;

export function changeElements(message: Message, context: ChangeContext): void {
  const attributes = Attributes.of(message);
  const isNew = message.type === NftMessage.NEW_ELEMENTS;
  const hasList = attributes.has(ElementList.ELEMENTS);
  if (isNew && !hasList) refuse(EINVAL);
  const table = findTable(context.tables, familyOf(message), attributes.string(ElementList.TABLE));
  const set = findSet(table, attributes.string(ElementList.SET));
  if (!hasList) {
    for (const element of [...set.elements.values()]) context.changes.deleteElement(set, element);
    return;
  }
  for (const { bytes } of attributes.list(ElementList.ELEMENTS)) {
    const given = Attributes.in(bytes);
    if (isNew) addElement(set, given, message.flags, context);
    else context.changes.deleteElement(set, findElement(set, given, context.now));
  }
}

function addElement(set: ModelSet, given: Attributes, flags: number, context: ChangeContext): void {
  const element = readElement(set, given, context.now);
  const present = [...overlapping(set, element, context.now)];
  const [same] = present;
  if (!same) {
    if (isBackwards(set, element)) refuse(EINVAL);
    const isFull = set.size !== 0 && livingElements(set, context.now) >= set.size;
    context.changes.addElement(set, element);
    // It is there all the same, until all is undone.
    if (isFull) refuse(ENFILE);
    return;
  }
  const isSame = same.key === element.key && same.keyEnd === element.keyEnd;
  if (!isSame || !isSameValue(same.value, element.value)) refuse(EEXIST);
  if ((flags & MessageFlag.EXCLUSIVE) !== 0) refuse(EEXIST);
  if ((set.flags & SetFlag.TIMEOUT) === 0) return;
  if (element.timeout !== same.timeout || element.timeout > 0) {
    context.changes.prolongElement(set, same, element.timeout, element.expires);
  }
}

function isBackwards(set: ModelSet, { key, keyEnd }: ModelElement): boolean {
  if (!hasRanges(set)) return false;
  const last = fieldsOf(set, keyEnd);
  return fieldsOf(set, key).some((first, i) => first > (last[i] ?? ''));
}

/** Those that ran out are gone, whether the kernel's collector has been there or not. */
function livingElements(set: ModelSet, now: number): number {
  if ((set.flags & SetFlag.TIMEOUT) === 0) return set.elements.size;
  let count = 0;
  for (const element of set.elements.values()) if (isAlive(element, now)) count++;
  return count;
}

export function isAlive({ expires }: ModelElement, now: number): boolean {
  return expires > now;
}

function isSameValue(a: ModelElement['value'], b: ModelElement['value']): boolean {
  if (typeof a !== 'object' || typeof b !== 'object') return a === b;
  return a.code === b.code && a.chain === b.chain;
}

/** As nft_add_set_elem() reads it. */
function readElement(set: ModelSet, given: Attributes, now: number): ModelElement {
  const isMap = (set.flags & SetFlag.MAP) !== 0;
  if (!given.has(ElementAttribute.KEY)) refuse(EINVAL);
  if (given.has(ElementAttribute.DATA) !== isMap) refuse(EINVAL);
  const ranges = hasRanges(set);
  if (given.has(ElementAttribute.KEY_END) && !ranges) refuse(EINVAL);
  const canEnd = (set.flags & SetFlag.TIMEOUT) !== 0;
  if (given.has(ELEMENT_TIMEOUT) && !canEnd) refuse(EINVAL);
  const timeout = given.u64(ELEMENT_TIMEOUT) ?? set.timeout;
  const remaining = given.u64(ELEMENT_EXPIRATION) ?? timeout;
  const key = readKey(set, given, ElementAttribute.KEY);
  const keyEnd = ranges
    ? given.has(ElementAttribute.KEY_END)
      ? readKey(set, given, ElementAttribute.KEY_END)
      : key
    : '';
  const counter = readCounter(set, given);
  const value = isMap ? readValue(set, given) : undefined;
  const expires = canEnd && timeout > 0 ? now + remaining : Number.POSITIVE_INFINITY;
  const userData = given.bytes(ElementAttribute.USERDATA)?.slice();
  return { key, keyEnd, value, userData, counter, timeout: canEnd ? timeout : 0, expires };
}

function readKey(set: ModelSet, given: Attributes, attribute: number): string {
  const bytes = given.nested(attribute)?.bytes(DataAttribute.VALUE);
  if (bytes?.length !== set.keyLength) refuse(EINVAL);
  return latin1(bytes);
}

function readValue(set: ModelSet, given: Attributes): ModelElement['value'] {
  const bytes = given.bytes(ElementAttribute.DATA) ?? new Uint8Array();
  if (set.dataType === VERDICT) {
    return readVerdictData(new AttributeReader(bytes), set.table) ?? refuse(EINVAL);
  }
  const value = Attributes.in(bytes).bytes(DataAttribute.VALUE);
  if (value?.length !== set.dataLength) refuse(EINVAL);
  return latin1(value);
}

/** A set that counts gives each element a counter; an element may bring its own. */
function readCounter(set: ModelSet, given: Attributes): ModelCounter | undefined {
  const bytes = given.bytes(ElementAttribute.EXPRESSION);
  if (!bytes) return set.counts ? { packets: 0, bytes: 0 } : undefined;
  const found = readExpression(new AttributeReader(bytes));
  if (found?.name !== 'counter') refuse(EOPNOTSUPP);
  return { packets: Number(found.values.packets ?? 0), bytes: Number(found.values.bytes ?? 0) };
}

/** The element that a DELSETELEM or GETSETELEM names. */
export function findElement(set: ModelSet, given: Attributes, now: number): ModelElement {
  if (!given.has(ElementAttribute.KEY)) refuse(EINVAL);
  const ranges = hasRanges(set);
  if (given.has(ElementAttribute.KEY_END) && !ranges) refuse(EINVAL);
  const key = readKey(set, given, ElementAttribute.KEY);
  if (given.has(ElementAttribute.KEY_END)) readKey(set, given, ElementAttribute.KEY_END);
  // Of a range, its beginning is looked up like the address of a packet, and its end not at all.
  const [element] = ranges ? containing(set, key, now) : [set.elements.get(key)];
  return element && isAlive(element, now) ? element : refuse(ENOENT);
}

/** Elements that keep this one out: the same key, or a range in which an end of this one lies (pipapo_insert). */
function* overlapping(set: ModelSet, element: ModelElement, now: number): Iterable<ModelElement> {
  if (!hasRanges(set)) {
    const same = set.elements.get(element.key);
    if (same && isAlive(same, now)) yield same;
    return;
  }
  yield* containing(set, element.key, now);
  yield* containing(set, element.keyEnd, now);
}

function* containing(set: ModelSet, key: string, now: number): Iterable<ModelElement> {
  const fields = fieldsOf(set, key);
  for (const element of set.elements.values()) {
    const [first, last] = [fieldsOf(set, element.key), fieldsOf(set, element.keyEnd)];
    const isIn = fields.every((field, i) => field >= (first[i] ?? '') && field <= (last[i] ?? ''));
    if (isIn && isAlive(element, now)) yield element;
  }
}

function fieldsOf({ fieldLengths }: ModelSet, key: string): string[] {
  let at = 0;
  return fieldLengths.map((length) => {
    const field = key.slice(at, at + length);
    at += (length + 3) & ~3;
    return field;
  });
}
