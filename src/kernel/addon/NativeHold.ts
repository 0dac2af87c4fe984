/** The queue that first packets wait in for somebody who wakes, as the native addon has it: the contract of native/hold_class.cc. */

export interface NativeHoldOptions {
  /** Number of nfnetlink_queue; the next one that is free, of sixteen. */
  readonly firstQueue: number;
}

/** `waiting` and `flows` are now; the others grow. */
export interface NativeHoldStatus {
  /** Packets. */
  readonly waiting: number;
  readonly flows: number;
  /** Flows that ever waited. */
  readonly held: number;
  /** Flows that went on to somebody who woke. */
  readonly released: number;
  /** First packets of TCP whose timestamp was raised by the time that they waited. */
  readonly cured: number;
  /** Packets that a newer one of their flow took the place of. */
  readonly replaced: number;
  /** Flows that were given up because nobody woke in time. */
  readonly timedOut: number;
  /** Packets that found as many waiting as may. */
  readonly crowded: number;
  /** Packets that are nobody's to hold: the rules behind decide. */
  readonly passed: number;
  readonly wakes: number;
  /** Milliseconds from the first packet to somebody who serves, of all wakes. */
  readonly wakeMs: number;
}

/** In NativeHold.takeEvents(): the first packet of a sleeper came, or still waits after ten seconds. */
export const WANTED = 1;
/** In NativeHold.takeEvents(): nobody woke in time. */
export const TIMED_OUT = 2;

/** Throws system errors as Node does: EPERM when all numbers are taken, or where we may not. Its thread runs from the beginning. */
export interface NativeHold {
  readonly queue: number;
  readonly status: NativeHoldStatus;
  /** Service ports that fall asleep, or wake, as encodeHold.ts writes them; in force when it returns. Throws EINVAL. */
  update(records: Uint8Array): void;
  /** [id of a record, what, id, what, …] since the last call. */
  takeEvents(): readonly number[];
  /** What waits is dropped. */
  close(): void;
}
