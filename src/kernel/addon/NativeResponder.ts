/** The thread that answers ARP and neighbour discovery, as the native addon exports it: the contract of native/announce/. */

/** native/announce/event_queue.h, EventKind. */
export const AnnounceEventKind = {
  claimed: 1,
  yielded: 2,
  ceded: 3,
  conflict: 4,
  answered: 5,
  paused: 6,
  peerUp: 7,
  peerDown: 8,
  peerLeaving: 9,
  defended: 10,
  seen: 11,
  link: 12,
} as const;

export interface AnnounceEvent {
  /** Of AnnounceEventKind. */
  readonly kind: number;
  /** Index; 0 when it is about none. */
  readonly interface: number;
  /** 4 or 16 bytes; none when it is about no address. */
  readonly address: Uint8Array;
  /** Name of a node; '' for a stranger or nobody. */
  readonly peer: string;
  /** 6 bytes; zeros for none. */
  readonly mac: Uint8Array;
  readonly value: number;
}

export interface AnnounceInterface {
  readonly index: number;
  /** 16 bytes, or none. */
  readonly linkLocal: Uint8Array;
  /** Only for the model: the thread knows from the kernel. */
  readonly mac: Uint8Array;
  readonly up: 0 | 1;
}

export interface AnnouncePeer {
  readonly name: string;
  /** For heartbeats; none: without. */
  readonly address: Uint8Array;
  readonly macs: readonly Uint8Array[];
}

/** native/announce/heartbeats.h, PeerState. */
export const PEER_STATES = ['unknown', 'alive', 'dead', 'leaving'] as const;

export interface AnnounceStatus {
  /** Addresses × interfaces. */
  readonly owned: number;
  readonly arpRequests: number;
  readonly ndpRequests: number;
  readonly arpReplies: number;
  readonly ndpReplies: number;
  readonly announcements: number;
  readonly probes: number;
  readonly conflicts: number;
  readonly yields: number;
  readonly sendErrors: number;
  readonly deaf: 0 | 1;
  readonly peers: readonly {
    readonly name: string;
    /** Index into PEER_STATES. */
    readonly state: number;
    /** -1: never heard. */
    readonly silentForMs: number;
    /** Hardware addresses that its heartbeats name, 6 bytes each, one after the other. */
    readonly macs: Uint8Array;
    /** Announcements of ours that it heard, by its own words, and of its that we heard. */
    readonly heardOurs: number;
    /** What is led to it passes through its process, and ends with it: it says so itself. */
    readonly endsWithAgent: 0 | 1;
    readonly weHeard: number;
  }[];
}

export interface AnnounceOptions {
  readonly node: string;
  /** UDP port of heartbeats; 0: none. */
  readonly port: number;
  /** Milliseconds from one heartbeat to the next. */
  readonly everyMs: number;
  /** So many lost in a row: the peer is dead. */
  readonly lost: number;
}

/** Throws system errors as Node does. */
export interface NativeResponder {
  /** Whole list. Index and errno of each that cannot be used. */
  setInterfaces(interfaces: readonly AnnounceInterface[]): readonly number[];
  /** Whole list, this node left out. */
  setPeers(peers: readonly AnnouncePeer[]): void;
  /** Until then, on the clock of now(), nobody may believe that this node is gone; afterwards it yields to any peer. */
  setFreshUntil(until: number): void;
  /** Tells the peers that this node goes, or stays. */
  setLeaving(leaving: 0 | 1): void;
  /** Tells the peers whether what is led to this node passes through this process. */
  setEndsWithAgent(ends: 0 | 1): void;
  /** Records of src/balancer/layer2/orders.ts. */
  run(orders: Uint8Array): void;
  takeEvents(): readonly AnnounceEvent[];
  status(): AnnounceStatus;
  /** Milliseconds of CLOCK_BOOTTIME. */
  now(): number;
  /** Silent from now on. */
  close(): void;
}

/** The same machine without thread, sockets and clock. Times are milliseconds from anywhere. */
export interface AnnounceModel {
  setInterfaces(interfaces: readonly AnnounceInterface[], now: number): void;
  setPeers(peers: readonly AnnouncePeer[]): void;
  setFreshUntil(until: number): void;
  setLeaving(leaving: 0 | 1): void;
  setEndsWithAgent(ends: 0 | 1): void;
  run(orders: Uint8Array, now: number): void;
  frame(index: number, frame: Uint8Array, now: number, backlog: 0 | 1): void;
  link(index: number, up: 0 | 1, now: number): void;
  pause(milliseconds: number, now: number): void;
  datagram(from: Uint8Array, bytes: Uint8Array, now: number): void;
  /** Does what is due; the heartbeat to send to every peer, when one is. */
  advance(now: number): Uint8Array | undefined;
  /** Index and frame, one after the other. */
  takeFrames(): readonly (number | Uint8Array)[];
  takeEvents(): readonly AnnounceEvent[];
  /** Whether the thread would tell that events wait; it counts as told then. */
  tells(now: number): 0 | 1;
  /** 0 observing, 1 probing, 2 owning, 3 ceding, -1 unknown. */
  stateOf(index: number, address: Uint8Array): number;
  status(now: number): AnnounceStatus;
}
