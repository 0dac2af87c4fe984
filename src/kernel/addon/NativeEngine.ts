/** The proxy engine of mode userspace as the native addon exports it: the contract of native/proxy_engine_class.cc. */

export interface NativeEngineOptions {
  /** 1 to 256. */
  readonly threads: number;
  readonly ipv6: 0 | 1;
  /** Listening ports are taken from this range; 0, 0: wherever the kernel has one. */
  readonly firstPort: number;
  readonly lastPort: number;
  /** Of the packets that the proxy sends itself, so that no rule captures them; 0 for none. */
  readonly mark: number;
  /** 1: also listens for connections to cluster IPs that come without NAT, see setUntranslatedRanges(). */
  readonly untranslated: 0 | 1;
  /** Path of the Unix socket of a process whose listening sockets are to be inherited; '' for none. */
  readonly takeOverFrom: string;
}

export interface NativeEngineStatus {
  /** TCP connections and UDP flows. */
  readonly active: number;
  /** Connections so far to destinations that no service port has. */
  readonly unknown: number;
  /** Of files, that connections hold. */
  readonly descriptors: number;
  /** 1 when the listening sockets were inherited. */
  readonly inherited: 0 | 1;
  /** 1 when another process has inherited ours and listens. */
  readonly succeeded: 0 | 1;
}

/** Throws system errors as Node does. Its threads run from the beginning; nobody is accepted before startListening(). */
export interface NativeEngine {
  /** Cells of 64 bytes, native/service/cells.h. Another object at each call, over the same memory. */
  readonly cells: ArrayBuffer;
  readonly status: NativeEngineStatus;
  /** 0 when there is none. protocol 6 or 17; side 0: from this node or its pods, 1: from elsewhere. */
  port(protocol: number, family: 4 | 6, side: 0 | 1): number;
  /**
   * TCP connections to addresses in these ranges come without NAT from now on, if they are routed to this host: a program in the
   * kernel (BPF_PROG_TYPE_SK_LOOKUP) finds the engine's listening sockets. It is attached at the first call, and until
   * close(). 17 bytes each: length of the prefix and first address, IPv4 as ::ffff:a.b.c.d; 64 at most. Throws system
   * errors: EPERM without CAP_BPF, EINVAL before Linux 5.9.
   */
  setUntranslatedRanges(ranges: Uint8Array): void;
  /** Service ports that are new, changed or gone, as encodeServices.ts writes them; in force when it returns. */
  update(records: Uint8Array): void;
  /** Also tells the predecessor to stop. Throws when not all sockets can be waited for: nobody is accepted then; may be tried again. */
  startListening(): void;
  stopListening(): void;
  /** Lets a successor inherit the listening sockets, at a path in a folder that only root can write to. Throws EADDRINUSE. */
  offerTakeover(path: string): void;
  /** Cuts the connections to an endpoint. */
  resetEndpoint(cell: number): void;
  /**
   * Four numbers each: kind (0 ejected, 1 returned, 2 still away, 3 out of descriptors, 4 share used up, 5 endpoint is a
   * Service), cells of the service port and the endpoint, 0 refused or 1 timed out.
   */
  takeEvents(): Uint32Array;
  /** What the algorithm of a service port answers, for tests: indexes into the list. */
  picks(
    serviceCell: number,
    list: number,
    seed: number,
    clientAddress: Uint8Array,
    eligible: Uint8Array,
    count: number,
  ): Uint32Array;
  /** The cell of the service port that is reached at an address, or -1; for tests. protocol 6 or 17. */
  find(protocol: number, family: 4 | 6, address: Uint8Array, port: number): number;
  /** Cuts what is still open and ends the threads. */
  close(): void;
}
