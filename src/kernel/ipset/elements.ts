/** Elements of sets: from the text that SetType tells of to the kernel's attributes, and back. */
import { bytesToIp, familyOf, type IpAddress, ipToBytes, parseCidr, parseIp } from '../../net/ip.js';
import type { AttributeReader } from '../netlink/AttributeReader.js';
import type { MessageWriter } from '../netlink/MessageWriter.js';
import { AddressAttribute, CommandAttribute, DataAttribute, NETWORK_ORDER, PROTOCOLS } from './constants.js';
import type { SetType } from './SetSpec.js';

const ADDRESS_BITS = { IPv4: 32, IPv6: 128 } as const;
/** be32 mark, be32 mask, bytes. */
const MARK_SIZE = 8;
const WHOLE_MARK = 0xffff_ffff;

/** Throws RangeError on a text that is no element of that type. */
export function putElement(writer: MessageWriter, type: SetType, element: string, mark?: number): void {
  const nest = writer.openNest(CommandAttribute.DATA);
  if (type === 'bitmap:port') putPort(writer, element, element);
  else {
    const [address = '', port = '', second = ''] = element.split(',');
    putAddress(writer, DataAttribute.ADDRESS, address, element);
    if (type !== 'hash:ip') putProtocolAndPort(writer, port, element);
    if (type === 'hash:ip,port,ip') putAddress(writer, DataAttribute.SECOND_ADDRESS, second, element);
    else if (type === 'hash:ip,port,net') putNet(writer, second, element);
  }
  if (mark !== undefined) putMark(writer, mark);
  writer.closeNest(nest);
}

function putProtocolAndPort(writer: MessageWriter, text: string, element: string): void {
  const colon = text.indexOf(':');
  const protocol = PROTOCOLS.get(text.slice(0, colon));
  if (protocol === undefined) throw notAnElement(element);
  putPort(writer, text.slice(colon + 1), element);
  writer.u8(DataAttribute.PROTOCOL, protocol);
}

function putPort(writer: MessageWriter, text: string, element: string): void {
  const port = Number(text);
  if (text === '' || !(port >= 0 && port <= 65535)) throw notAnElement(element);
  writer.u16be(DataAttribute.PORT | NETWORK_ORDER, port);
}

function putAddress(writer: MessageWriter, type: number, text: string, element: string): void {
  const address = parseIp(text);
  if (address === undefined) throw notAnElement(element);
  const nest = writer.openNest(type);
  writer.raw(AddressAttribute[familyOf(address)] | NETWORK_ORDER, ipToBytes(address));
  writer.closeNest(nest);
}

function putNet(writer: MessageWriter, text: string, element: string): void {
  const slash = text.indexOf('/');
  if (slash < 0) {
    putAddress(writer, DataAttribute.SECOND_ADDRESS, text, element);
    return;
  }
  const cidr = parseCidr(text);
  if (cidr !== text) throw notAnElement(element);
  putAddress(writer, DataAttribute.SECOND_ADDRESS, text.slice(0, slash), element);
  writer.u8(DataAttribute.SECOND_PREFIX_LENGTH, Number(text.slice(slash + 1)));
}

function putMark(writer: MessageWriter, mark: number): void {
  const bytes = new Uint8Array(MARK_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, mark);
  view.setUint32(4, WHOLE_MARK);
  writer.raw(DataAttribute.MARK | NETWORK_ORDER, bytes);
}

function notAnElement(element: string): RangeError {
  return new RangeError(`${JSON.stringify(element)} is no element of its set`);
}

export interface ReadElement {
  readonly element: string;
  readonly mark: number | undefined;
}

/** From the attributes of one element. Undefined for what has no text here; never throws. */
export function readElement(data: AttributeReader): ReadElement | undefined {
  let address: string | undefined;
  let second: string | undefined;
  let port: number | undefined;
  let protocol: number | undefined;
  let prefixLength: number | undefined;
  let mark: number | undefined;
  while (data.next()) {
    switch (data.type) {
      case DataAttribute.ADDRESS:
        address = readAddress(data.children());
        break;
      case DataAttribute.SECOND_ADDRESS:
        second = readAddress(data.children());
        break;
      case DataAttribute.SECOND_PREFIX_LENGTH:
        prefixLength = data.u8();
        break;
      case DataAttribute.PORT:
        port = data.u16be();
        break;
      case DataAttribute.PROTOCOL:
        protocol = data.u8();
        break;
      case DataAttribute.MARK:
        mark = readMark(data.bytes());
    }
  }
  if (data.malformed) return undefined;
  const parts = [address, portText(protocol, port), second && netText(second as IpAddress, prefixLength)];
  const element = parts.filter((part) => part !== undefined).join(',');
  return element === '' ? undefined : { element, mark };
}

function readMark(bytes: Uint8Array): number | undefined {
  if (bytes.length !== MARK_SIZE) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, MARK_SIZE).getUint32(0);
}

function readAddress(address: AttributeReader): IpAddress | undefined {
  while (address.next()) {
    const bytes = address.bytes();
    if (bytes.length === 4 || bytes.length === 16) return bytesToIp(bytes);
  }
  return undefined;
}

function portText(protocol: number | undefined, port: number | undefined): string | undefined {
  if (port === undefined) return undefined;
  if (protocol === undefined) return String(port);
  const name = [...PROTOCOLS].find(([, number]) => number === protocol)?.[0] ?? String(protocol);
  return `${name}:${port}`;
}

function netText(address: IpAddress, length: number | undefined): string {
  const isOneAddress = length === undefined || length === ADDRESS_BITS[familyOf(address)];
  return isOneAddress ? address : `${address}/${length}`;
}
