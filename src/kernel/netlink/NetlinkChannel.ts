/**
 * A conversation with the kernel over one netlink socket: requests and their answers, dumps, batches, multicast.
 *
 * The kernel handles a request inside sendmsg, so its answer is queued, or lost for want of room, when send()
 * returns; only the later parts of a dump come while we read.
 */

import { constants } from 'node:os';
import { type Clock, systemClock } from '../../time/Clock.js';
import type { NativeSocket } from '../addon/NativeSocket.js';
import { ControlType, MessageFlag } from './constants.js';
import { type Exchange, Exchanges } from './Exchanges.js';
import { DatagramParser, type Message } from './Message.js';
import type { MessageWriter } from './MessageWriter.js';
import { NetlinkError } from './NetlinkError.js';
import { openNativeSocket } from './openNativeSocket.js';
import {
  BatchReply,
  DumpReply,
  neverConsistent,
  type Reply,
  RequestReply,
  StreamReply,
  WholeStreamReply,
} from './replies.js';
import { MAX_SEQUENCE, setSequences } from './sequences.js';

const DEFAULT_TIMEOUT_MS = 10_000;
const RECEIVE_BYTES = 256 * 1024;
/**
 * One for all channels: what was received is copied before anybody hears of it. Not filled with zeros, which costs more than most of
 * what it receives: nothing is read but what was received.
 */
const RECEIVED = new Uint8Array(Buffer.allocUnsafeSlow(RECEIVE_BYTES).buffer);
const DATAGRAMS_PER_RECEIVE = 64;
/** Receives in one turn of the event loop; what is left comes with the next turn. */
const RECEIVES_PER_TURN = 16;
const DUMP_ATTEMPTS = 5;

export interface ChannelOptions {
  /** How long the kernel may say nothing to a request, at least; at most twice that. Milliseconds. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

export interface OpenOptions extends ChannelOptions {
  /** File of another network namespace. */
  readonly netns?: string;
  /** Bytes; a batch must fit into it whole. */
  readonly sendBufferBytes?: number;
  /** Bytes of multicast messages and answers that may wait for us. */
  readonly receiveBufferBytes?: number;
}

/** Hears what the kernel says unasked; also while a request is being sent. Must not throw. */
export interface MessageListener {
  message(message: Message): void;
  /** Messages were lost (ENOBUFS): what was learnt from them so far may be wrong now. */
  lost(): void;
}

export class NetlinkChannel {
  readonly #socket: NativeSocket;
  readonly #exchanges: Exchanges;
  readonly #lengths = new Uint32Array(DATAGRAMS_PER_RECEIVE);
  readonly #groups = new Uint32Array(DATAGRAMS_PER_RECEIVE);
  readonly #joined = new Set<number>();
  /** Larger than others have it where a datagram needed that. */
  #buffer = RECEIVED;
  #sequence = 0;
  #listener: MessageListener | undefined;
  #lostAnswers = false;
  #receiving = false;
  #closed = false;
  /** The kernel runs one dump for a socket at a time and answers EBUSY to a second. */
  #lastDump: Promise<unknown> = Promise.resolve();

  /** For one piece of work, closed after it. Rejects as the work does, and as open() throws. */
  static async using<T>(protocol: number, work: (channel: NetlinkChannel) => Promise<T>): Promise<T> {
    const channel = NetlinkChannel.open(protocol);
    try {
      return await work(channel);
    } finally {
      channel.close();
    }
  }

  /** Throws as openNativeSocket does. */
  static open(protocol: number, options: OpenOptions = {}): NetlinkChannel {
    const { netns, sendBufferBytes, receiveBufferBytes } = options;
    const socket = openNativeSocket(protocol, netns === undefined ? {} : { netns });
    try {
      if (sendBufferBytes !== undefined) socket.setSendBuffer(sendBufferBytes);
      if (receiveBufferBytes !== undefined) socket.setReceiveBuffer(receiveBufferBytes);
      return new NetlinkChannel(socket, options);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** Takes the socket over: nobody else reads from it or closes it. */
  constructor(socket: NativeSocket, options: ChannelOptions = {}) {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, clock = systemClock } = options;
    this.#socket = socket;
    const onBusy = (busy: boolean) => (busy ? socket.ref() : socket.unref());
    this.#exchanges = new Exchanges(clock, timeoutMs, onBusy, () => this.#receive());
    socket.onReadable(() => this.#receive());
  }

  /**
   * Sends the one message of `writer`, which may be used again at once. Resolves to the answers, without the final
   * acknowledgement. `what` is for errors: 'create nfacct object x'. Rejects with NetlinkError.
   */
  async request(what: string, writer: MessageWriter): Promise<readonly Message[]> {
    writer.addFlags(MessageFlag.ACK);
    return this.#exchange(what, writer.bytes(), 1, () => new RequestReply(what), 'answered at once');
  }

  /** Like request(), for many answers: hands each to `take` as it comes and keeps none. `take` must not throw. */
  async requestEach(what: string, writer: MessageWriter, take: (message: Message) => void): Promise<void> {
    writer.addFlags(MessageFlag.ACK);
    return this.#exchange(what, writer.bytes(), 1, () => new StreamReply(what, take), 'answered at once');
  }

  /** Like request(), for a list; waits for its turn, and begins again when the list changed meanwhile. */
  async dump(what: string, writer: MessageWriter): Promise<readonly Message[]> {
    return this.#inTurn(writer, (bytes) => this.#dumpUntilConsistent(what, bytes));
  }

  /**
   * Like dump(), for a list of any length that may change meanwhile: hands each message to `take` as it comes and keeps none.
   * `take` must not throw.
   */
  async stream(what: string, writer: MessageWriter, take: (message: Message) => void): Promise<void> {
    const reply = () => new StreamReply(what, take);
    return this.#inTurn(writer, (bytes) => this.#exchange(what, bytes, 1, reply, 'answered in parts'));
  }

  /**
   * Like stream(), for a list that must be whole: when it changed meanwhile, everything begins again with another `begin()`. Resolves to
   * what that returned. Rejects like dump().
   */
  async streamWhole<Result>(
    what: string,
    writer: MessageWriter,
    begin: () => Result,
    take: (message: Message, result: Result) => void,
  ): Promise<Result> {
    return this.#inTurn(writer, async (bytes) => {
      for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
        const result = begin();
        const reply = () => new WholeStreamReply(what, (message) => take(message, result));
        if ((await this.#exchange(what, bytes, 1, reply, 'answered in parts')) === 'whole') return result;
      }
      throw neverConsistent(what, DUMP_ATTEMPTS);
    });
  }

  /**
   * Sends independent messages with one sendmsg. Resolves to what was refused, in the order of the messages; the
   * others took effect. The last message that asks for an answer (NLM_F_ACK) must be the last one.
   */
  async batch(what: string, writer: MessageWriter): Promise<readonly NetlinkError[]> {
    const awaited = (acknowledged: number) => new BatchReply(what, acknowledged, -1);
    return this.#exchange(what, writer.bytes(), writer.messageCount, awaited, 'answered at once');
  }

  /**
   * Sends messages between beginTransaction() and endTransaction() of nfnetlink.ts: all take effect or none.
   * Resolves to what was refused; index 0, the bracket, stands for the whole.
   */
  transaction(what: string, writer: MessageWriter): Promise<readonly NetlinkError[]> {
    const awaited = (acknowledged: number) => new BatchReply(what, acknowledged, 0);
    return this.#exchange(what, writer.bytes(), writer.messageCount, awaited, 'answered at once');
  }

  /**
   * Joins multicast groups and hands every message that answers no request to `listener`, from now on. Does not
   * keep the process alive. A channel has one listener. Throws when a group cannot be joined (EINVAL, EPERM).
   */
  listen(groups: readonly number[], listener: MessageListener): void {
    this.#listener = listener;
    for (const group of groups) {
      this.#socket.joinGroup(group);
      this.#joined.add(group);
    }
  }

  /** Leaves multicast groups until listen() is called again; what already waits is still handed to the listener. */
  leave(groups: readonly number[]): void {
    for (const group of groups) this.#socket.leaveGroup(group);
  }

  /**
   * What `program` (classic BPF) refuses is dropped by the kernel; answers as well, so this is for channels that only listen.
   * Throws when the kernel does not take the program.
   */
  filter(program: Uint8Array): void {
    this.#socket.attachFilter(program);
  }

  /** The netlink port of this channel: notices of what it changed carry it. */
  get portId(): number {
    return this.#socket.portId;
  }

  /** Rejects what is under way with ECANCELED. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    this.#exchanges.failAll((what) => closedError(what));
  }

  async #inTurn<Result>(writer: MessageWriter, ask: (bytes: Uint8Array) => Promise<Result>): Promise<Result> {
    writer.addFlags(MessageFlag.DUMP);
    const bytes = writer.bytes().slice();
    const mine = this.#lastDump.then(() => ask(bytes));
    this.#lastDump = mine.catch(() => {});
    return mine;
  }

  async #dumpUntilConsistent(what: string, bytes: Uint8Array): Promise<readonly Message[]> {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const result = await this.#exchange(what, bytes, 1, () => new DumpReply(what), 'answered in parts');
      if (result !== 'interrupted') return result;
    }
    throw neverConsistent(what, DUMP_ATTEMPTS);
  }

  #exchange<Result>(
    what: string,
    bytes: Uint8Array,
    count: number,
    expect: (acknowledged: number) => Reply<Result>,
    kind: Exchange['kind'],
  ): Promise<Result> {
    try {
      if (this.#closed) throw closedError(what);
      const first = this.#claimSequences(count);
      const reply = expect(setSequences(bytes, first));
      this.#send(what, bytes);
      const result = this.#exchanges.add({ what, first, count, kind, reply });
      // Unread answers to a few hundred requests would overflow the receive buffer.
      if (kind === 'answered at once') this.#receive();
      this.#exchanges.awaitAnswer(first);
      return result;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #send(what: string, bytes: Uint8Array): void {
    try {
      this.#socket.send(bytes);
    } catch (cause) {
      const words = cause instanceof Error ? cause.message : String(cause);
      throw new NetlinkError(what, { errno: errnoOf(cause), words, cause });
    }
  }

  /** Never 0, which the kernel uses in what it says unasked. */
  #claimSequences(count: number): number {
    if (this.#sequence + count > MAX_SEQUENCE) this.#sequence = 0;
    const first = this.#sequence + 1;
    this.#sequence += count;
    return first;
  }

  #receive(): void {
    // The listener may have sent a request: this one goes on when it returns.
    if (this.#receiving) return;
    this.#receiving = true;
    try {
      for (let i = 0; i < RECEIVES_PER_TURN && !this.#closed; i++) {
        if (this.#receiveOnce() === 'empty') return;
      }
    } finally {
      this.#receiving = false;
    }
  }

  #receiveOnce(): 'empty' | 'more' {
    let count: number;
    try {
      count = this.#socket.receive(this.#buffer, this.#lengths, this.#groups);
    } catch (error) {
      this.#receiveFailed(error);
      return 'more';
    }
    if (count === 0) {
      this.#failLostAnswers();
      return 'empty';
    }
    this.#takeDatagrams(count);
    return 'more';
  }

  #takeDatagrams(count: number): void {
    let end = 0;
    for (let i = 0; i < count; i++) end += this.#lengths[i] ?? 0;
    // Messages may be kept, so they get memory of their own; one copy for all is cheap.
    const parser = new DatagramParser(this.#buffer.slice(0, end));
    let group = 0;
    const take = (message: Message) => this.#takeMessage(message, group);
    let at = 0;
    for (let i = 0; i < count; i++) {
      const next = at + (this.#lengths[i] ?? 0);
      group = this.#groups[i] ?? 0;
      if (parser.parse(at, next, take) !== undefined) this.#noteLoss();
      at = next;
    }
  }

  #takeMessage(message: Message, group: number): void {
    if (this.#closed || message.type === ControlType.NOOP) return;
    if (message.type === ControlType.OVERRUN) this.#noteLoss();
    // The notice of a change carries the sequence number and port of whoever asked for the change, maybe ours.
    else if (this.#joined.has(group)) this.#listener?.message(message);
    else if (message.sequence !== 0 && message.portId === this.#socket.portId) this.#exchanges.take(message);
    else this.#listener?.message(message);
  }

  #receiveFailed(error: unknown): void {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EMSGSIZE' && error instanceof Error && 'needed' in error) {
      this.#buffer = new Uint8Array(2 * Number(error.needed));
    } else if (code === 'ENOBUFS') {
      this.#noteLoss();
    } else {
      const words = error instanceof Error ? error.message : String(error);
      const errno = errnoOf(error);
      this.#exchanges.failAll((what) => new NetlinkError(what, { errno, words, cause: error }));
    }
  }

  #noteLoss(): void {
    this.#lostAnswers = true;
    this.#listener?.lost();
  }

  /** With the queue empty after a loss, a request without its answer will not get one. */
  #failLostAnswers(): void {
    if (!this.#lostAnswers) return;
    this.#lostAnswers = false;
    const words = 'the answer of the kernel was lost, the receive buffer was full';
    const errno = -constants.errno.ENOBUFS;
    this.#exchanges.failAll((what) => new NetlinkError(what, { errno, words }), 'answered at once');
  }
}

function closedError(what: string): NetlinkError {
  return new NetlinkError(what, {
    errno: -constants.errno.ECANCELED,
    words: 'the netlink channel was closed',
  });
}

function errnoOf(error: unknown): number {
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined;
  return typeof errno === 'number' ? errno : -constants.errno.EIO;
}
