/** The queue of first packets as the native addon has it: the contract of native/choice_class.cc. */

export interface NativeChoiceOptions {
  /** Number of nfnetlink_queue; the next ones that are free, of sixteen. */
  readonly firstQueue: number;
  /** Where in a packet's mark it is written who was chosen: the number shifted, within the mask. Other bits stay. */
  readonly markShift: number;
  readonly markMask: number;
  /** The program that lets packets pass when a thread hangs; '' for none. */
  readonly watchdog: string;
}

/** Counts grow; `connections` are those that are known now. */
export interface NativeChoiceStatus {
  readonly decided: number;
  /** First packets of TCP that came again because nobody answered. */
  readonly repeated: number;
  /** Connections that were given up, so that the next repeat is decided again. */
  readonly forgotten: number;
  /** Packets that nobody asked to decide. */
  readonly strangers: number;
  /** All that was spent in deciding. */
  readonly nanoseconds: number;
  readonly connections: number;
  /** How often the kernel told of more connections than could be read: all were counted again. */
  readonly lost: number;
  readonly recounted: number;
  /** How often the watchdog let packets pass. */
  readonly timesOpen: number;
  /** 1: the watchdog runs. */
  readonly isWatched: number;
}

/** Throws system errors as Node does: EPERM when all numbers are taken, or where we may not. Its threads run from the beginning. */
export interface NativeChoice {
  readonly queue: number;
  /** One for each processor, up to eight; their numbers follow each other. */
  readonly queues: number;
  readonly status: NativeChoiceStatus;
  /** Cells of 64 bytes, native/service/cells.h. Another object at each call, over the same memory. */
  readonly cells: ArrayBuffer;
  /** Service ports that are new, changed or gone, as encodeChoice.ts writes them; in force when it returns. Throws EINVAL. */
  update(records: Uint8Array): void;
  /** For tests: no thread does anything for so long. */
  hang(milliseconds: number): void;
  /** What waits is decided; what comes later passes. */
  close(): void;
}
