/** BFD (RFC 5880, 5881) in a thread, as the native addon exports it: the contract of native/announce/bfd/bfd_class.cc. */

export const BFD_STATES = ['admin down', 'down', 'init', 'up'] as const;

export interface BfdWish {
  /** 4 or 16 bytes. */
  readonly peer: Uint8Array;
  /** None: the kernel chooses. */
  readonly source: Uint8Array;
  readonly transmitMs: number;
  readonly receiveMs: number;
  readonly multiplier: number;
  readonly passive: 0 | 1;
  /** Of what comes in; 255: from this LAN only. */
  readonly leastTtl: number;
}

export interface BfdChange {
  readonly peer: Uint8Array;
  /** Index into BFD_STATES. */
  readonly state: number;
  /** 1: the detection time has run out; 3: the other side says that it is down. */
  readonly diag: number;
  /** When: milliseconds on the clock of process.hrtime(). */
  readonly at: number;
}

/** Throws system errors as Node does. */
export interface NativeBfd {
  /** A session that is there goes on, unless something of it differs. */
  add(wish: BfdWish): void;
  remove(peer: Uint8Array): void;
  takeChanges(): readonly BfdChange[];
  /** Microseconds by which the latest packet was sent later than due, since the last call. */
  takeLateness(): number;
  /** The other sides are told that no failure is meant. */
  close(): void;
}
