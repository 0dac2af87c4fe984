/** A netlink message as lines that can be compared: what tells a header, then one line an attribute. */
import { MessageFlag, NESTED } from '../../src/kernel/netlink/constants.js';
import { toHex } from './hex.js';

/**
 * `familyHeader`: bytes between the netlink header and the attributes. Attributes that are marked as nests are gone
 * into; `2.3 = 0a000001` is attribute 3 inside attribute 2. Sequence number, port and NLM_F_ACK are left out: a tool asks
 * for each answer, we for the last one.
 */
export function describeMessage(message: Uint8Array, familyHeader: number): string[] {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const flags = view.getUint16(6, true) & ~MessageFlag.ACK;
  const header = toHex(message.subarray(16, 16 + familyHeader));
  return [
    `type ${view.getUint16(4, true)} flags 0x${flags.toString(16)} header ${header}`,
    ...describeAttributes(message.subarray(16 + familyHeader, view.getUint32(0, true)), ''),
  ];
}

function describeAttributes(bytes: Uint8Array, path: string): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += (view.getUint16(at, true) + 3) & ~3) {
    const type = view.getUint16(at + 2, true);
    const content = bytes.subarray(at + 4, at + view.getUint16(at, true));
    const name = `${path}${type & ~NESTED}`;
    if ((type & NESTED) !== 0) lines.push(name, ...describeAttributes(content, `${name}.`));
    else lines.push(`${name} = ${toHex(content)}`);
  }
  return lines;
}
