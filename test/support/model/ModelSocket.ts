/**
 * A netlink socket of the kernel's model: what is sent is handled inside send(), as in the kernel; what is answered or
 * told waits in a queue that has a size.
 */
import { constants } from 'node:os';
import type { NativeSocket } from '../../../src/kernel/addon/NativeSocket.js';
import {
  BatchType,
  ControlType,
  MESSAGE_HEADER,
  MessageFlag,
  NetlinkProtocol,
} from '../../../src/kernel/netlink/constants.js';
import { HOST_IS_LITTLE_ENDIAN } from '../../../src/kernel/netlink/hostOrder.js';
import { type Message, parseMessages } from '../../../src/kernel/netlink/Message.js';
import { MessageWriter } from '../../../src/kernel/netlink/MessageWriter.js';

/** Positive error number of errno.h. */
export type Errno = number;

/**
 * What goes wrong with what is sent.
 * send: nothing gets to the kernel. refuse: the kernel refuses one message, whatever it says, and a transaction with it.
 * lose: all is done, and the answer is lost (ENOBUFS). silent: all is done, and there is no answer and no word of that.
 */
export type Fault =
  | { readonly type: 'send'; readonly code: string; readonly errno: Errno }
  | { readonly type: 'refuse'; readonly message: number; readonly errno: Errno }
  | { readonly type: 'lose' }
  | { readonly type: 'silent' };

/** More of a list, a datagram at each call; undefined at its end. */
export type Dump = () => Uint8Array | undefined;

/** One part of the kernel. */
export interface Subsystem {
  /** Answers through `socket.answer()`. Returns a positive error number, 0, or the list that answers. */
  request(message: Message, socket: ModelSocket): Errno | Dump;
  /** Messages between BEGIN and END; only of parts that have transactions. `refused`: by index. */
  batch?(messages: readonly Message[], socket: ModelSocket, refused: ReadonlyMap<number, Errno>): void;
}

/** What a socket needs of the kernel that it belongs to. */
export interface SocketKernel {
  subsystem(protocol: number, messageType: number): Subsystem | undefined;
  /** Before anything of what is sent is handled: time for others to change something. */
  beforeSend(socket: ModelSocket, messages: readonly Message[]): Fault | undefined;
  /** Before the next part of a list. */
  beforeDump(socket: ModelSocket): void;
  /** Runs later, after what runs now. */
  later(callback: () => void): void;
  closed(socket: ModelSocket): void;
}

interface Datagram {
  readonly bytes: Uint8Array;
  readonly group: number;
}

const DEFAULT_BUFFER = 212_992;
/** What the kernel counts for a datagram besides its bytes (sizeof(struct sk_buff) and more). */
const DATAGRAM_OVERHEAD = 512;

export class ModelSocket implements NativeSocket {
  readonly portId: number;
  readonly protocol: number;
  /** Of the process that has the socket: `nft`. */
  readonly owner: string;
  readonly groups = new Set<number>();
  readonly #kernel: SocketKernel;
  #queue: Datagram[] = [];
  #queuedBytes = 0;
  #sendBuffer = DEFAULT_BUFFER;
  #receiveBuffer = DEFAULT_BUFFER;
  #overrun = false;
  #congested = false;
  #dump: Dump | undefined;
  #callback: (() => void) | undefined;
  #woken = false;
  #deaf = false;
  isOpen = true;
  keepsAlive = false;

  constructor(kernel: SocketKernel, protocol: number, portId: number, owner: string) {
    this.#kernel = kernel;
    this.protocol = protocol;
    this.portId = portId;
    this.owner = owner;
  }

  send(bytes: Uint8Array): void {
    if (!this.isOpen) throw systemError('EBADF');
    if (bytes.length > this.#sendBuffer) throw systemError('EMSGSIZE');
    // The sender may use its memory again at once.
    const { messages } = parseMessages(bytes.slice());
    const fault = this.#kernel.beforeSend(this, messages);
    if (fault?.type === 'send') {
      throw Object.assign(new Error(`${fault.code}: injected`), { code: fault.code, errno: -fault.errno });
    }
    const refused = new Map<number, Errno>();
    if (fault?.type === 'refuse') refused.set(fault.message, fault.errno);
    this.#deaf = fault?.type === 'lose' || fault?.type === 'silent';
    this.#handle(messages, refused);
    this.#deaf = false;
    if (fault?.type === 'lose') {
      this.#overrun = true;
      this.#wake();
    }
  }

  #handle(messages: readonly Message[], refused: ReadonlyMap<number, Errno>): void {
    const [first] = messages;
    if (first?.type === BatchType.BEGIN && this.protocol === NetlinkProtocol.NETFILTER) {
      const subsystem = this.#kernel.subsystem(this.protocol, (first.payload[3] ?? 0) << 8);
      if (subsystem?.batch) subsystem.batch(messages, this, refused);
      else this.acknowledge(first, constants.errno.EOPNOTSUPP);
      return;
    }
    for (const [index, message] of messages.entries()) {
      if ((message.flags & MessageFlag.REQUEST) === 0) continue;
      const result = refused.get(index) ?? this.#request(message);
      if (typeof result === 'function') this.#startDump(message, result);
      else if (result !== 0 || (message.flags & MessageFlag.ACK) !== 0) this.acknowledge(message, result);
    }
  }

  #request(message: Message): Errno | Dump {
    const subsystem = this.#kernel.subsystem(this.protocol, message.type);
    return subsystem ? subsystem.request(message, this) : constants.errno.EINVAL;
  }

  #startDump(request: Message, dump: Dump): void {
    if (this.#dump) {
      this.acknowledge(request, constants.errno.EBUSY);
      return;
    }
    this.#dump = dump;
    this.#continueDump();
  }

  /** The kernel writes the first part of a list at once, and the next whenever one was read. */
  #continueDump(): void {
    const datagram = this.#dump?.();
    if (datagram === undefined) this.#dump = undefined;
    else this.answer(datagram);
  }

  /** NLMSG_ERROR with the header of the message alone (NETLINK_CAP_ACK). `errno` is positive; 0: all is well. */
  acknowledge(request: Message, errno: Errno): void {
    const bytes = new Uint8Array(MESSAGE_HEADER + 4 + MESSAGE_HEADER);
    const view = new DataView(bytes.buffer);
    putHeader(view, bytes.length, ControlType.ERROR, MessageFlag.CAPPED, request.sequence, this.portId);
    view.setInt32(MESSAGE_HEADER, -errno, HOST_IS_LITTLE_ENDIAN);
    const length = MESSAGE_HEADER + request.payload.length;
    const copy = new DataView(bytes.buffer, MESSAGE_HEADER + 4);
    putHeader(copy, length, request.type, request.flags, request.sequence, request.portId);
    this.answer(bytes);
  }

  /** Queues a datagram for this socket. */
  answer(bytes: Uint8Array, group = 0): void {
    if (!this.isOpen || this.#deaf) return;
    if (this.#congested || this.#queuedBytes > this.#receiveBuffer) {
      this.overrun();
      return;
    }
    this.#queue.push({ bytes, group });
    this.#queuedBytes += bytes.length + DATAGRAM_OVERHEAD;
    this.#wake();
  }

  /** What waits from now on is lost, until the queue was read. */
  overrun(): void {
    this.#overrun = true;
    this.#congested = this.#queue.length > 0;
    this.#wake();
  }

  receive(buffer: Uint8Array, lengths: Uint32Array, groups: Uint32Array): number {
    if (!this.isOpen) throw systemError('EBADF');
    if (this.#overrun) {
      this.#overrun = false;
      throw systemError('ENOBUFS');
    }
    let count = 0;
    let at = 0;
    for (let next = this.#queue[0]; next !== undefined && count < lengths.length; next = this.#queue[0]) {
      if (at + next.bytes.length > buffer.length) {
        if (count === 0) throw Object.assign(systemError('EMSGSIZE'), { needed: next.bytes.length });
        break;
      }
      this.#queue.shift();
      this.#queuedBytes -= next.bytes.length + DATAGRAM_OVERHEAD;
      buffer.set(next.bytes, at);
      at += next.bytes.length;
      lengths[count] = next.bytes.length;
      groups[count] = next.group;
      count++;
      if (this.#dump && this.#queue.length === 0) {
        this.#kernel.beforeDump(this);
        this.#continueDump();
        // The next part is read in the next turn: others may change something before.
        break;
      }
    }
    if (this.#queue.length === 0) this.#congested = false;
    return count;
  }

  onReadable(callback: (() => void) | undefined): void {
    this.#callback = callback;
    if (this.#queue.length > 0 || this.#overrun) this.#wake();
  }

  #wake(): void {
    if (this.#woken || !this.#callback) return;
    this.#woken = true;
    this.#kernel.later(() => {
      this.#woken = false;
      if (!this.isOpen || (this.#queue.length === 0 && !this.#overrun)) return;
      this.#callback?.();
      if (this.#queue.length > 0 || this.#overrun) this.#wake();
    });
  }

  setSendBuffer(bytes: number): number {
    this.#sendBuffer = 2 * bytes;
    return this.#sendBuffer;
  }

  attachFilter(): void {}

  setReceiveBuffer(bytes: number): number {
    this.#receiveBuffer = 2 * bytes;
    return this.#receiveBuffer;
  }

  joinGroup(group: number): void {
    this.groups.add(group);
  }

  leaveGroup(group: number): void {
    this.groups.delete(group);
  }

  ref(): void {
    this.keepsAlive = true;
  }

  unref(): void {
    this.keepsAlive = false;
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#callback = undefined;
    this.#queue = [];
    this.#dump = undefined;
    this.#kernel.closed(this);
  }
}

/** As Node's errors of system calls. */
export function systemError(code: 'EBADF' | 'EMSGSIZE' | 'ENOBUFS' | 'EMFILE'): Error {
  return Object.assign(new Error(`${code}: of the model`), { code, errno: -constants.errno[code] });
}

function putHeader(
  view: DataView,
  length: number,
  type: number,
  flags: number,
  sequence: number,
  portId: number,
): void {
  view.setUint32(0, length, HOST_IS_LITTLE_ENDIAN);
  view.setUint16(4, type, HOST_IS_LITTLE_ENDIAN);
  view.setUint16(6, flags, HOST_IS_LITTLE_ENDIAN);
  view.setUint32(8, sequence, HOST_IS_LITTLE_ENDIAN);
  view.setUint32(12, portId, HOST_IS_LITTLE_ENDIAN);
}

/** Messages of the kernel in one datagram. */
export class AnswerWriter {
  readonly writer = new MessageWriter(1024);
  readonly #sequence: number;
  readonly #portId: number;

  constructor(sequence: number, portId: number) {
    this.#sequence = sequence;
    this.#portId = portId;
  }

  get length(): number {
    return this.writer.length;
  }

  message(type: number, flags: number, body: (writer: MessageWriter) => void): void {
    const at = this.writer.length;
    this.writer.beginMessage(type, flags);
    body(this.writer);
    this.writer.endMessage();
    const bytes = this.writer.bytes();
    const view = new DataView(bytes.buffer, bytes.byteOffset + at);
    putHeader(view, bytes.length - at, type, flags, this.#sequence, this.#portId);
  }

  /** NLMSG_DONE. */
  done(flags: number): void {
    this.message(ControlType.DONE, flags | MessageFlag.MULTI, (writer) => writer.putU32(0));
  }

  bytes(): Uint8Array {
    return this.writer.bytes().slice();
  }
}
