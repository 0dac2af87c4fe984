/**
 * Classic BPF for netlink sockets (linux/filter.h): the kernel looks into a message before it is queued. Every instruction that
 * tests has one way on; the other is to drop the message.
 */
import { HOST_IS_LITTLE_ENDIAN } from '../netlink/hostOrder.js';

/** `drop: 'unless'`: the message is dropped unless the accumulator equals k; 'if': if it does. */
interface Instruction {
  readonly code: number;
  readonly k: number;
  readonly drop?: 'if' | 'unless';
}

const INSTRUCTION_BYTES = 8;
/** SKF_AD_OFF + SKF_AD_NLATTR, SKF_AD_NLATTR_NEST: the accumulator is where to look, X the type; where it is, or 0. */
const FIND = 0xfffff00c;
const FIND_INSIDE = 0xfffff010;
/** BPF_LD | BPF_IMM and so on. */
const Code = {
  LOAD: 0x00,
  LOAD_X: 0x01,
  LOAD_ANCILLARY: 0x20,
  LOAD_WORD_AT_X: 0x40,
  LOAD_BYTE_AT_X: 0x50,
  AND: 0x54,
  TO_X: 0x07,
  EQUAL: 0x15,
  RETURN: 0x06,
} as const;
const KEEP = 0xffffffff;

/** The attribute at the end of `path`, from `start` on inward, or the message is dropped; the accumulator says where. */
export function findAttribute(start: number, path: readonly number[]): Instruction[] {
  const steps = path.flatMap((type, depth): Instruction[] => [
    { code: Code.LOAD_X, k: type },
    { code: Code.LOAD_ANCILLARY, k: depth === 0 ? FIND : FIND_INSIDE },
    { code: Code.EQUAL, k: 0, drop: 'if' },
  ]);
  return [{ code: Code.LOAD, k: start }, ...steps];
}

/** The content of the attribute that was found: be32 with a mask, or one byte. */
export function mustBe(value: number, content: { readonly mask: number } | 'byte'): Instruction[] {
  return [
    { code: Code.TO_X, k: 0 },
    ...(content === 'byte'
      ? [{ code: Code.LOAD_BYTE_AT_X, k: 4 }]
      : [
          { code: Code.LOAD_WORD_AT_X, k: 4 },
          { code: Code.AND, k: content.mask },
        ]),
    { code: Code.EQUAL, k: value, drop: 'unless' },
  ];
}

/** Keeps what no instruction drops. */
export function filterProgram(instructions: readonly Instruction[]): Uint8Array {
  const all: readonly Instruction[] = [
    ...instructions,
    { code: Code.RETURN, k: KEEP },
    { code: Code.RETURN, k: 0 },
  ];
  const program = new Uint8Array(all.length * INSTRUCTION_BYTES);
  const view = new DataView(program.buffer);
  for (const [i, { code, k, drop }] of all.entries()) {
    // struct sock_filter: u16 code, u8 jt, u8 jf, u32 k; a jump says how many instructions it skips.
    const away = all.length - 2 - i;
    view.setUint16(i * INSTRUCTION_BYTES, code, HOST_IS_LITTLE_ENDIAN);
    view.setUint8(i * INSTRUCTION_BYTES + 2, drop === 'if' ? away : 0);
    view.setUint8(i * INSTRUCTION_BYTES + 3, drop === 'unless' ? away : 0);
    view.setUint32(i * INSTRUCTION_BYTES + 4, k >>> 0, HOST_IS_LITTLE_ENDIAN);
  }
  return program;
}

/** Drops everything. */
export function dropProgram(): Uint8Array {
  return filterProgram([]).slice(INSTRUCTION_BYTES);
}
