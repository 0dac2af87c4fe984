/**
 * Messages in Protocol Buffers' wire format (protobuf.dev/programming-guides/encoding), as far as four small ones need it: whole numbers,
 * doubles, texts, messages in messages. What a message has beside is passed over.
 */

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;
/** Of 64 bits in groups of seven. */
const LONGEST_VARINT = 10;

/** WireField number and what it has: a number, or bytes. */
export type WireField = readonly [number: number, value: number | Uint8Array];

/** Throws RangeError for what is no message. */
export function readFields(message: Uint8Array): readonly WireField[] {
  const fields: WireField[] = [];
  const view = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let i = 0; i < LONGEST_VARINT; i++) {
      const byte = view.readUInt8(at++);
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw new RangeError('a number has more than 64 bits');
  };
  const skip = (bytes: number): number => {
    if (bytes > view.length - at) throw new RangeError('the message ends too early');
    at += bytes;
    return at - bytes;
  };
  while (at < view.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case VARINT:
        fields.push([number, varint()]);
        break;
      case FIXED64:
        fields.push([number, view.readDoubleLE(skip(8))]);
        break;
      case BYTES: {
        const length = varint();
        const start = skip(length);
        fields.push([number, view.subarray(start, start + length)]);
        break;
      }
      case FIXED32:
        skip(4);
        break;
      default:
        throw new RangeError('a field has a type that does not exist');
    }
  }
  return fields;
}

/** The last one counts. '' without it. Throws TypeError for bytes that are no UTF-8. */
export function textField(fields: readonly WireField[], number: number): string {
  const bytes = bytesField(fields, number);
  return bytes === undefined ? '' : new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

export function bytesField(fields: readonly WireField[], number: number): Uint8Array | undefined {
  const values = fields.filter(([each]) => each === number).map(([, value]) => value);
  const last = values.at(-1);
  return typeof last === 'object' ? last : undefined;
}

/** A whole number from 0 to 2^53 - 1, or a boolean. Throws RangeError for others. */
export function writeNumber(number: number, value: number | boolean): Buffer {
  return Buffer.concat([varintOf(number * 8 + VARINT), varintOf(Number(value))]);
}

export function writeDouble(number: number, value: number): Buffer {
  const written = Buffer.alloc(8);
  written.writeDoubleLE(value);
  return Buffer.concat([varintOf(number * 8 + FIXED64), written]);
}

/** A text, or a message in the message. */
export function writeBytes(number: number, value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([varintOf(number * 8 + BYTES), varintOf(bytes.length), bytes]);
}

/** Throws RangeError for what is no whole number from 0 to 2^53 - 1. */
function varintOf(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`${value} cannot be written as a number`);
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}
