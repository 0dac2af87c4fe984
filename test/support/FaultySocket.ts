/** A real netlink socket whose transactions can be made to fail in every way the kernel knows. */

import type { NativeSocket } from '../../src/kernel/addon/NativeSocket.js';
import { ControlType, MESSAGE_HEADER, MessageFlag } from '../../src/kernel/netlink/constants.js';
import { openNativeSocket } from '../../src/kernel/netlink/openNativeSocket.js';

/**
 * refuse: the kernel does nothing and says why, about one message. lose: it does everything, and its answer is lost.
 * cut: it does everything, and half of its answer is there. send: nothing gets to the kernel.
 */
export type Fault =
  | { readonly type: 'refuse'; readonly message: number; readonly errno: number }
  | { readonly type: 'lose' }
  | { readonly type: 'cut' }
  | { readonly type: 'send'; readonly code: string; readonly errno: number };

const BATCH_BEGIN = 0x10;

export class FaultySocket implements NativeSocket {
  readonly #socket: NativeSocket;
  #answers: Uint8Array[] = [];
  #reading: 'as it is' | 'lost' | 'cut' = 'as it is';
  /** What happens to the next transaction, unless it has not that many messages. */
  fault: Fault | undefined;
  /** Faults that took place. */
  injected = 0;

  constructor(protocol: number) {
    this.#socket = openNativeSocket(protocol);
  }

  get portId(): number {
    return this.#socket.portId;
  }

  send(bytes: Uint8Array): void {
    const sequences = sequencesOf(bytes);
    const isTransaction =
      sequences.length > 2 && new DataView(bytes.buffer, bytes.byteOffset).getUint16(4, true) === BATCH_BEGIN;
    let fault = isTransaction ? this.fault : undefined;
    if (fault) this.fault = undefined;
    if (fault?.type === 'refuse' && fault.message >= sequences.length) fault = undefined;
    if (fault) this.injected++;
    if (fault?.type === 'send') throw Object.assign(new Error(`${fault.code}: injected`), fault);
    if (fault?.type === 'refuse') {
      this.#answers.push(outcome(sequences[fault.message] ?? 0, this.portId, fault.errno));
      // The kernel goes through the rest all the same, and acknowledges the last message that asks for it.
      const last = sequences.length - 2;
      if (fault.message !== 0 && fault.message !== last) {
        this.#answers.push(outcome(sequences[last] ?? 0, this.portId, 0));
      }
      return;
    }
    if (fault) this.#reading = fault.type === 'lose' ? 'lost' : 'cut';
    this.#socket.send(bytes);
  }

  receive(buffer: Uint8Array, lengths: Uint32Array, groups: Uint32Array): number {
    const injected = this.#answers.shift();
    if (injected) {
      buffer.set(injected);
      lengths[0] = injected.length;
      groups[0] = 0;
      return 1;
    }
    const count = this.#socket.receive(buffer, lengths, groups);
    if (count === 0 || this.#reading === 'as it is') return count;
    const reading = this.#reading;
    this.#reading = 'as it is';
    if (reading === 'lost')
      throw Object.assign(new Error('ENOBUFS: injected'), { code: 'ENOBUFS', errno: -105 });
    lengths[0] = Math.floor((lengths[0] ?? 0) / 2);
    return 1;
  }

  setSendBuffer(bytes: number): number {
    return this.#socket.setSendBuffer(bytes);
  }

  attachFilter(program: Uint8Array): void {
    this.#socket.attachFilter(program);
  }

  setReceiveBuffer(bytes: number): number {
    return this.#socket.setReceiveBuffer(bytes);
  }

  joinGroup(group: number): void {
    this.#socket.joinGroup(group);
  }

  leaveGroup(group: number): void {
    this.#socket.leaveGroup(group);
  }

  onReadable(callback: (() => void) | undefined): void {
    this.#socket.onReadable(callback);
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  close(): void {
    this.#socket.close();
  }
}

function sequencesOf(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sequences: number[] = [];
  for (let at = 0; at + MESSAGE_HEADER <= bytes.length; at += (view.getUint32(at, true) + 3) & ~3) {
    sequences.push(view.getUint32(at + 8, true));
  }
  return sequences;
}

/** NLMSG_ERROR with the header of the message alone (NETLINK_CAP_ACK). */
function outcome(sequence: number, portId: number, errno: number): Uint8Array {
  const bytes = new Uint8Array(MESSAGE_HEADER + 4 + MESSAGE_HEADER);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, ControlType.ERROR, true);
  view.setUint16(6, MessageFlag.CAPPED, true);
  view.setUint32(8, sequence, true);
  view.setUint32(12, portId, true);
  view.setInt32(MESSAGE_HEADER, -errno, true);
  return bytes;
}
