/** Facts and settings of IPVS as a whole, in this network namespace. */

/** Seconds that IPVS remembers a connection without packets; 0 in a write leaves the present value. */
export interface IpvsTimeouts {
  readonly tcp: number;
  readonly tcpFin: number;
  readonly udp: number;
}

export interface IpvsInfo {
  /** `1.2.1` */
  readonly version: string;
  /** Buckets of the table of connections. */
  readonly tableSize: number;
}
