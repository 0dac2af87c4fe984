/** Tables, chains, rules, sets and elements as the kernel writes them into lists and notices. */
import type { MessageWriter } from '../../../src/kernel/netlink/MessageWriter.js';
import {
  ChainAttribute,
  DataAttribute,
  ElementAttribute,
  ElementList,
  HookAttribute,
  LIST_ELEMENT,
  NftMessage,
  RuleAttribute,
  SET_FIELD_LENGTH,
  SetAttribute,
  SetDescription,
  TableAttribute,
  VerdictAttribute,
} from '../../../src/kernel/nftables/constants.js';
import { expression, writeExpression } from '../../../src/kernel/nftables/Expression.js';
import type { Event, Subject } from './Changes.js';
import { ELEMENT_EXPIRATION, ELEMENT_TIMEOUT } from './changeElements.js';
import { CHAIN_HANDLE, RULE_USER_DATA } from './changeTable.js';
import type { ModelChain, ModelElement, ModelRule, ModelSet, ModelTable, ModelVerdict } from './Ruleset.js';

/** NFTA_TABLE_USE, NFTA_TABLE_HANDLE, NFTA_CHAIN_USE, NFTA_SET_HANDLE, NFTA_SET_TIMEOUT. */
const [TABLE_USE, TABLE_HANDLE, CHAIN_USE, SET_HANDLE, SET_TIMEOUT] = [3, 4, 6, 16, 11];

/** struct nfgenmsg. */
export function putHeader(writer: MessageWriter, family: number, generation: number): void {
  writer.putU8(family);
  writer.putU8(0);
  writer.putU16be(generation & 0xffff);
}

export function describeTable(writer: MessageWriter, table: ModelTable): void {
  writer.string(TableAttribute.NAME, table.name);
  writer.u32be(TableAttribute.FLAGS, table.flags);
  writer.u32be(TABLE_USE, table.chains.size + table.sets.size);
  writer.u64be(TABLE_HANDLE, table.handle);
}

export function describeChain(writer: MessageWriter, chain: ModelChain): void {
  writer.string(ChainAttribute.TABLE, chain.table.name);
  writer.string(ChainAttribute.NAME, chain.name);
  writer.u64be(CHAIN_HANDLE, chain.handle);
  if (chain.hook) {
    const nest = writer.openNest(ChainAttribute.HOOK);
    writer.u32be(HookAttribute.NUMBER, chain.hook.number);
    writer.u32be(HookAttribute.PRIORITY, chain.hook.priority);
    writer.closeNest(nest);
    writer.u32be(ChainAttribute.POLICY, chain.policy);
    writer.string(ChainAttribute.TYPE, chain.hook.type);
  }
  writer.u32be(CHAIN_USE, chain.rules.length + chain.references);
}

export function describeRule(writer: MessageWriter, rule: ModelRule): void {
  writer.string(RuleAttribute.TABLE, rule.chain.table.name);
  writer.string(RuleAttribute.CHAIN, rule.chain.name);
  writer.u64be(RuleAttribute.HANDLE, rule.handle);
  const nest = writer.openNest(RuleAttribute.EXPRESSIONS);
  writer.putBytes(rule.expressions);
  writer.closeNest(nest);
  if (rule.userData) writer.raw(RULE_USER_DATA, rule.userData);
}

export function describeSet(writer: MessageWriter, set: ModelSet): void {
  writer.string(SetAttribute.TABLE, set.table.name);
  writer.string(SetAttribute.NAME, set.name);
  writer.u64be(SET_HANDLE, set.handle);
  if (set.flags !== 0) writer.u32be(SetAttribute.FLAGS, set.flags);
  writer.u32be(SetAttribute.KEY_TYPE, set.keyType);
  writer.u32be(SetAttribute.KEY_LENGTH, set.keyLength);
  if (set.dataLength !== 0) {
    writer.u32be(SetAttribute.DATA_TYPE, set.dataType);
    writer.u32be(SetAttribute.DATA_LENGTH, set.dataLength);
  }
  if (set.timeout !== 0) writer.u64be(SET_TIMEOUT, set.timeout);
  if (set.userData) writer.raw(SetAttribute.USERDATA, set.userData);
  const description = writer.openNest(SetAttribute.DESCRIPTION);
  if (set.size !== 0) writer.u32be(SetDescription.SIZE, set.size);
  if (set.fieldLengths.length > 1) {
    const fields = writer.openNest(SetDescription.CONCAT);
    for (const length of set.fieldLengths) {
      const field = writer.openNest(LIST_ELEMENT);
      writer.u32be(SET_FIELD_LENGTH, length);
      writer.closeNest(field);
    }
    writer.closeNest(fields);
  }
  writer.closeNest(description);
  if (set.counts) {
    const nest = writer.openNest(SetAttribute.EXPRESSION);
    writeExpression(writer, expression('counter', { bytes: 0, packets: 0 }));
    writer.closeNest(nest);
  }
}

/** Begins the list of elements; closeNest() with what it returns ends it. */
export function openElements(writer: MessageWriter, set: ModelSet): number {
  writer.string(ElementList.TABLE, set.table.name);
  writer.string(ElementList.SET, set.name);
  return writer.openNest(ElementList.ELEMENTS);
}

export function describeElement(writer: MessageWriter, element: ModelElement, now: number): void {
  const nest = writer.openNest(LIST_ELEMENT);
  data(writer, ElementAttribute.KEY, element.key);
  if (element.keyEnd !== '') data(writer, ElementAttribute.KEY_END, element.keyEnd);
  if (typeof element.value === 'string') data(writer, ElementAttribute.DATA, element.value);
  else if (element.value) verdict(writer, element.value);
  if (element.userData) writer.raw(ElementAttribute.USERDATA, element.userData);
  if (element.counter) {
    const counter = writer.openNest(ElementAttribute.EXPRESSION);
    writeExpression(writer, expression('counter', { ...element.counter }));
    writer.closeNest(counter);
  }
  if (element.timeout !== 0) {
    writer.u64be(ELEMENT_TIMEOUT, element.timeout);
    writer.u64be(ELEMENT_EXPIRATION, Math.max(0, element.expires - now));
  }
  writer.closeNest(nest);
}

function data(writer: MessageWriter, attribute: number, value: string): void {
  const nest = writer.openNest(attribute);
  writer.latin1(DataAttribute.VALUE, value);
  writer.closeNest(nest);
}

function verdict(writer: MessageWriter, { code, chain }: ModelVerdict): void {
  const nest = writer.openNest(ElementAttribute.DATA);
  const inner = writer.openNest(DataAttribute.VERDICT);
  writer.u32be(VerdictAttribute.CODE, code);
  if (chain) writer.string(VerdictAttribute.CHAIN, chain.name);
  writer.closeNest(inner);
  writer.closeNest(nest);
}

export function typeOfEvent({ what, subject }: Event): number {
  const isNew = what === 'new';
  if ('table' in subject) return isNew ? NftMessage.NEW_TABLE : NftMessage.DELETE_TABLE;
  if ('chain' in subject) return isNew ? NftMessage.NEW_CHAIN : NftMessage.DELETE_CHAIN;
  if ('rule' in subject) return isNew ? NftMessage.NEW_RULE : NftMessage.DELETE_RULE;
  if ('element' in subject) return isNew ? NftMessage.NEW_ELEMENTS : NftMessage.DELETE_ELEMENTS;
  return isNew ? NftMessage.NEW_SET : NftMessage.DELETE_SET;
}

export function familyOfSubject(subject: Subject): number {
  if ('table' in subject) return subject.table.family;
  if ('chain' in subject) return subject.chain.table.family;
  if ('rule' in subject) return subject.rule.chain.table.family;
  return subject.set.table.family;
}

/** The body of a notice. */
export function describeSubject(writer: MessageWriter, subject: Subject, now: number): void {
  if ('table' in subject) describeTable(writer, subject.table);
  else if ('chain' in subject) describeChain(writer, subject.chain);
  else if ('rule' in subject) describeRule(writer, subject.rule);
  else if ('element' in subject) {
    const list = openElements(writer, subject.set);
    describeElement(writer, subject.element, now);
    writer.closeNest(list);
  } else describeSet(writer, subject.set);
}
