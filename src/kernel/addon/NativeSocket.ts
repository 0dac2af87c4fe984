/** The netlink socket of the native addon (native/netlink_socket.h). */

/**
 * One AF_NETLINK socket, not blocking, bound, with NETLINK_EXT_ACK, NETLINK_CAP_ACK and NETLINK_PKTINFO on.
 * Failed system calls throw as in Node: `code` ('EPERM'), `errno` (negative), `syscall`. Wrong arguments throw
 * TypeError or RangeError.
 */
export interface NativeSocket {
  /** Our address: what the kernel writes into the answers to this socket. */
  readonly portId: number;
  /** Multicast group numbers, from 1. */
  joinGroup(group: number): void;
  leaveGroup(group: number): void;
  /** Bytes, past net.core.wmem_max where we may. Returns the size now in force; the kernel doubles what is asked. */
  setSendBuffer(bytes: number): number;
  /** Likewise; net.core.rmem_max. */
  setReceiveBuffer(bytes: number): number;
  /**
   * Has the kernel run a classic BPF program (struct sock_filter, 8 bytes each) over whatever it would queue for this socket,
   * and drop what that returns 0 for. In place of the program before. EINVAL for one that makes no sense.
   */
  attachFilter(program: Uint8Array): void;
  /** One sendmsg to the kernel. EMSGSIZE when it is larger than the send buffer. */
  send(message: Uint8Array): void;
  /**
   * Receives until nothing is left, `lengths` is full or the next datagram does not fit the room left, into
   * consecutive parts of the buffer. Returns how many; the i-th has lengths[i] bytes and was sent to multicast group
   * groups[i], 0 for an answer. Throws ENOBUFS when messages were lost, and EMSGSIZE with `needed` (bytes) when the
   * next datagram is larger than the whole buffer; that one stays queued.
   */
  receive(buffer: Uint8Array, lengths: Uint32Array, groups: Uint32Array): number;
  /**
   * Calls back as long as there is something to receive, an error included. Until undefined is given or the socket
   * is closed, the socket is not collected as garbage.
   */
  onReadable(callback: (() => void) | undefined): void;
  /** From now on a watched socket keeps the process alive. At first it does not. */
  ref(): void;
  unref(): void;
  /** May be called again, and in the callback. */
  close(): void;
}

export interface NativeSocketOptions {
  /** File of the network namespace to open in, `/proc/1234/ns/net` or `/run/netns/name`. Default: ours. */
  readonly netns?: string;
}
