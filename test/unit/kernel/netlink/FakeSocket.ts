/** A NativeSocket whose kernel is the test. */

import type { NativeSocket } from '../../../../src/kernel/addon/NativeSocket.js';
import {
  ControlType,
  ErrorAttribute,
  MESSAGE_HEADER,
  MessageFlag,
} from '../../../../src/kernel/netlink/constants.js';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';

/** What was sent: the header of the first message, and how many there were. */
export interface Sent {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly count: number;
}

/** A datagram, one sent to a multicast group, or an error in its place. */
export type Delivery = Uint8Array | { readonly group: number; readonly bytes: Uint8Array } | 'ENOBUFS';

interface Answer {
  readonly type: number;
  readonly flags?: number;
  readonly portId?: number;
  readonly payload?: Uint8Array;
}

export class FakeSocket implements NativeSocket {
  readonly portId = 4711;
  readonly sent: Sent[] = [];
  readonly groups = new Set<number>();
  keepsAlive = false;
  isOpen = true;
  #queue: Delivery[] = [];
  #callback: (() => void) | undefined;
  #sendError: Error | undefined;

  /** Is there to be received, and the event loop has not said so yet. */
  arrive(...deliveries: readonly Delivery[]): void {
    this.#queue.push(...deliveries);
  }

  /** Queues all of it, then lets the channel read until nothing is left. */
  deliver(...deliveries: readonly Delivery[]): void {
    this.#queue.push(...deliveries);
    while (this.#queue.length > 0 && this.isOpen) this.#callback?.();
  }

  failNextSend(code: string, errno: number): void {
    this.#sendError = Object.assign(new Error(`${code}: too much`), { code, errno });
  }

  message(
    request: Sent,
    { type, flags = 0, portId = this.portId, payload = new Uint8Array() }: Answer,
  ): Uint8Array {
    const bytes = new Uint8Array(MESSAGE_HEADER + payload.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, bytes.length, true);
    view.setUint16(4, type, true);
    view.setUint16(6, flags, true);
    view.setUint32(8, request.sequence, true);
    view.setUint32(12, portId, true);
    bytes.set(payload, MESSAGE_HEADER);
    return bytes;
  }

  /** NLMSG_ERROR, as with NETLINK_CAP_ACK. */
  outcome(request: Sent, errno: number, text?: string): Uint8Array {
    const flags = MessageFlag.CAPPED | (text === undefined ? 0 : MessageFlag.ACK_ATTRIBUTES);
    return this.message(request, {
      type: ControlType.ERROR,
      flags,
      payload: outcome(errno, MESSAGE_HEADER, text),
    });
  }

  /** NLMSG_DONE. */
  done(request: Sent, errno: number, text?: string): Uint8Array {
    const flags = MessageFlag.MULTI | (text === undefined ? 0 : MessageFlag.ACK_ATTRIBUTES);
    return this.message(request, { type: ControlType.DONE, flags, payload: outcome(errno, 0, text) });
  }

  send(bytes: Uint8Array): void {
    const error = this.#sendError;
    this.#sendError = undefined;
    if (error !== undefined) throw error;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let count = 0;
    for (let at = 0; at < bytes.length; at += view.getUint32(at, true)) count++;
    const [type, flags] = [view.getUint16(4, true), view.getUint16(6, true)];
    this.sent.push({ type, flags, sequence: view.getUint32(8, true), count });
  }

  receive(buffer: Uint8Array, lengths: Uint32Array, groups: Uint32Array): number {
    let count = 0;
    let used = 0;
    for (; count < lengths.length; count++) {
      const next = this.#queue[0];
      if (next === undefined) break;
      if (next === 'ENOBUFS') {
        if (count > 0) break;
        this.#queue.shift();
        throw Object.assign(new Error('lost'), { code: 'ENOBUFS', errno: -105 });
      }
      const { bytes, group } = next instanceof Uint8Array ? { bytes: next, group: 0 } : next;
      if (bytes.length > buffer.length - used) {
        if (count > 0) break;
        throw Object.assign(new Error('too large'), { code: 'EMSGSIZE', errno: -90, needed: bytes.length });
      }
      this.#queue.shift();
      buffer.set(bytes, used);
      lengths[count] = bytes.length;
      groups[count] = group;
      used += bytes.length;
    }
    return count;
  }

  onReadable(callback: (() => void) | undefined): void {
    this.#callback = callback;
  }

  joinGroup(group: number): void {
    this.groups.add(group);
  }

  leaveGroup(group: number): void {
    this.groups.delete(group);
  }

  setSendBuffer(bytes: number): number {
    return bytes;
  }

  attachFilter(): void {}

  setReceiveBuffer(bytes: number): number {
    return bytes;
  }

  ref(): void {
    this.keepsAlive = true;
  }

  unref(): void {
    this.keepsAlive = false;
  }

  close(): void {
    this.isOpen = false;
  }
}

function outcome(errno: number, echoed: number, text: string | undefined): Uint8Array {
  const writer = new MessageWriter();
  writer.putU32(errno);
  writer.putBytes(new Uint8Array(echoed));
  if (text !== undefined) writer.string(ErrorAttribute.MESSAGE, text);
  return writer.bytes().slice();
}
