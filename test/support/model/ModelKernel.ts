/**
 * The kernel of one node in memory, as far as netlink sockets see it. Tests say what goes wrong, and what others do
 * between any two messages.
 */
import { NetfilterSubsystem, NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import type { Message } from '../../../src/kernel/netlink/Message.js';
import { NFTABLES_GROUP } from '../../../src/kernel/nftables/constants.js';
import { ModelNftables } from './ModelNftables.js';
import { type Fault, ModelSocket, type SocketKernel, type Subsystem, systemError } from './ModelSocket.js';

export interface ModelKernelOptions {
  /** Milliseconds. Default: time stands still. */
  readonly now?: () => number;
  /** Runs something later. Default: in a microtask. */
  readonly later?: (callback: () => void) => void;
}

const FIRST_PORT = 1000;
const PART_BYTES = 8192;

/** Whose sockets open() opens. */
const AGENT = 'penstock';

export class ModelKernel implements SocketKernel {
  readonly nftables: ModelNftables;
  /** Open ones. */
  readonly sockets = new Set<ModelSocket>();
  /** Bytes of one part of a list; the kernel writes 4 to 32 KiB. */
  partBytes = PART_BYTES;
  /** What goes wrong with what is about to be sent. Not asked for sockets of others. */
  fault: (socket: ModelSocket, messages: readonly Message[]) => Fault | undefined = () => undefined;
  /** What others do before a message of ours is handled and before the next part of a list. */
  meanwhile: () => void = () => {};
  /** A transaction of the agent has changed something. */
  committed: () => void = () => {};
  /** Whether no socket can be opened now. */
  outOfDescriptors = false;
  readonly #later: (callback: () => void) => void;
  #lastPort = FIRST_PORT;
  #busy = false;

  constructor({ now = () => 0, later = queueMicrotask }: ModelKernelOptions = {}) {
    this.#later = later;
    this.nftables = new ModelNftables({
      now,
      listeners: () => this.#listeners(NetlinkProtocol.NETFILTER, NFTABLES_GROUP),
      partBytes: () => this.partBytes,
      committed: ({ owner }) => {
        if (owner === AGENT) this.committed();
      },
    });
  }

  /** A socket of the agent. Throws EMFILE. */
  open(protocol: number): ModelSocket {
    if (this.outOfDescriptors) throw systemError('EMFILE');
    return this.#open(protocol, AGENT);
  }

  /** A socket of another program: nothing goes wrong with it. */
  openForeign(protocol: number, program: string): ModelSocket {
    return this.#open(protocol, program);
  }

  #open(protocol: number, owner: string): ModelSocket {
    const socket = new ModelSocket(this, protocol, ++this.#lastPort, owner);
    this.sockets.add(socket);
    return socket;
  }

  closed(socket: ModelSocket): void {
    this.sockets.delete(socket);
  }

  /** Sockets of the agent that were not closed. */
  leftOver(): readonly ModelSocket[] {
    return [...this.sockets].filter(({ owner }) => owner === AGENT);
  }

  /** Whoever of the agent listens loses what is told next. */
  overrun(): void {
    for (const socket of this.leftOver()) if (socket.groups.size > 0) socket.overrun();
  }

  later(callback: () => void): void {
    this.#later(callback);
  }

  beforeSend(socket: ModelSocket, messages: readonly Message[]): Fault | undefined {
    if (socket.owner !== AGENT) return undefined;
    this.#letOthersAct();
    return this.fault(socket, messages);
  }

  beforeDump(socket: ModelSocket): void {
    if (socket.owner === AGENT) this.#letOthersAct();
  }

  #letOthersAct(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.meanwhile();
    this.#busy = false;
  }

  subsystem(protocol: number, messageType: number): Subsystem | undefined {
    if (protocol !== NetlinkProtocol.NETFILTER) return undefined;
    return messageType >> 8 === NetfilterSubsystem.NFTABLES ? this.nftables : undefined;
  }

  *#listeners(protocol: number, group: number): Iterable<ModelSocket> {
    for (const socket of this.sockets) {
      if (socket.protocol === protocol && socket.groups.has(group)) yield socket;
    }
  }
}
