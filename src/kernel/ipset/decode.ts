/** Reads sets and their elements out of the kernel's messages. Nothing here throws. */
import type { IpFamily } from '../../net/ip.js';
import type { AttributeReader } from '../netlink/AttributeReader.js';
import { NETFILTER_HEADER } from '../netlink/constants.js';
import type { Message } from '../netlink/Message.js';
import { CommandAttribute, DataAttribute, FAMILY, WITH_MARKS } from './constants.js';
import { readElement } from './elements.js';
import type { SetHeader } from './SetSpec.js';

/** Adds the elements of one message of a list, each with its mark if it has one. */
export function addElements(message: Message, into: Map<string, number | undefined>): void {
  const attributes = message.attributes(NETFILTER_HEADER);
  while (attributes.next()) {
    if (attributes.type !== CommandAttribute.ELEMENTS) continue;
    const elements = attributes.children();
    while (elements.next()) {
      if (elements.type !== CommandAttribute.DATA) continue;
      const read = readElement(elements.children());
      if (read !== undefined) into.set(read.element, read.mark);
    }
  }
}

/** Undefined for a message that begins no set. */
export function decodeHeader(message: Message): SetHeader | undefined {
  let name = '';
  let type = '';
  let family: IpFamily | undefined;
  let data = { elements: 0, references: 0, maxElements: 0, marks: false };
  const attributes = message.attributes(NETFILTER_HEADER);
  while (attributes.next()) {
    if (attributes.type === CommandAttribute.SET_NAME) name = attributes.string();
    else if (attributes.type === CommandAttribute.TYPE_NAME) type = attributes.string();
    else if (attributes.type === CommandAttribute.FAMILY) family = familyOfNumber(attributes.u8());
    else if (attributes.type === CommandAttribute.DATA) data = readData(attributes.children());
  }
  if (name === '' || type === '' || attributes.malformed) return undefined;
  return { name, type, family, ...data };
}

function readData(data: AttributeReader) {
  let elements = 0;
  let references = 0;
  let maxElements = 0;
  let marks = false;
  while (data.next()) {
    if (data.type === DataAttribute.ELEMENTS) elements = data.u32be();
    else if (data.type === DataAttribute.REFERENCES) references = data.u32be();
    else if (data.type === DataAttribute.MOST_ELEMENTS) maxElements = data.u32be();
    else if (data.type === DataAttribute.FLAGS) marks = (data.u32be() & WITH_MARKS) !== 0;
  }
  return { elements, references, maxElements, marks };
}

function familyOfNumber(number: number): IpFamily | undefined {
  if (number === FAMILY.IPv4) return 'IPv4';
  return number === FAMILY.IPv6 ? 'IPv6' : undefined;
}

export interface Range {
  readonly oldest: number;
  readonly newest: number;
}

/** What the kernel can do of a protocol (attribute PROTOCOL) or of a type (REVISION). */
export function decodeRange(messages: readonly Message[], newestAttribute: number): Range {
  let oldest = 0;
  let newest = 0;
  for (const message of messages) {
    const attributes = message.attributes(NETFILTER_HEADER);
    while (attributes.next()) {
      if (attributes.type === CommandAttribute.PROTOCOL_MIN) oldest = attributes.u8();
      else if (attributes.type === newestAttribute) newest = attributes.u8();
    }
  }
  return { oldest, newest };
}
