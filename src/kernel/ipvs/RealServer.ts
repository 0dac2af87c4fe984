/** Real servers, which IPVS calls destinations: where a virtual server sends its connections (linux/ip_vs.h). */
import type { IpAddress } from '../../net/ip.js';
import type { IpvsCounters } from './VirtualServer.js';

/** IP_VS_CONN_F_FWD_MASK. Ours are all `masquerade`: the destination address of packets is rewritten. */
export type Forwarding = 'masquerade' | 'local' | 'tunnel' | 'route' | 'bypass';

/** What tells a real server from the others of its virtual server. */
export interface RealServerId {
  readonly address: IpAddress;
  readonly port: number;
}

export interface RealServer extends RealServerId {
  /** 0 to 65535. With 0 it gets no new connections and keeps those it has. */
  readonly weight: number;
  readonly forwarding: Forwarding;
  /** Gets no new connections from this many on; 0: no limit. */
  readonly upperThreshold: number;
  /** Having had too many, gets new ones again below this many; 0: three quarters of the upper threshold. */
  readonly lowerThreshold: number;
}

/** As the kernel has it. */
export interface RealServerState extends RealServer {
  /** TCP: established. */
  readonly activeConnections: number;
  /** All others that the kernel still remembers: TCP closing or closed, every UDP one. */
  readonly inactiveConnections: number;
  /** Clients that persistence binds to it. */
  readonly persistentConnections: number;
  readonly counters: IpvsCounters;
}

/** A real server as Services need it. */
export function masqueraded({ address, port }: RealServerId, weight: number): RealServer {
  return { address, port, weight, forwarding: 'masquerade', upperThreshold: 0, lowerThreshold: 0 };
}
