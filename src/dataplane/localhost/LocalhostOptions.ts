/** What the proxy for node ports on loopback needs to know from others. */

import type { IpAddress, IpFamily } from '../../net/ip.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { Clock } from '../../time/Clock.js';

/** The protocols whose node ports work on loopback. SCTP has no sockets in Node. */
export type LocalhostProtocol = 'TCP' | 'UDP';

export interface SocketEnd {
  readonly address: IpAddress;
  readonly port: number;
}

/** A connection or datagram as its receiver sees it. */
export interface RedirectedFlow {
  readonly family: IpFamily;
  readonly protocol: LocalhostProtocol;
  readonly client: SocketEnd;
  /** Our own end, after the redirection. */
  readonly proxy: SocketEnd;
}

export interface LocalhostOptions {
  /**
   * The port that the client of a redirected connection asked for (conntrack). Undefined when that is not known any
   * more. A rejection counts as not known; to report it is the caller's.
   */
  readonly originalPort: (flow: RedirectedFlow) => Promise<number | undefined>;
  /** Who serves a node port now. Another object whenever the endpoints have changed. */
  readonly servicePort: (
    family: IpFamily,
    protocol: LocalhostProtocol,
    nodePort: number,
  ) => ServicePort | undefined;
  /** From 0, below 1. */
  readonly random?: () => number;
  readonly clock?: Clock;
  /** Open TCP connections at a time, all families together. */
  readonly maxConnections?: number;
  /** UDP flows at a time in each family. */
  readonly maxFlows?: number;
}

/**
 * The node port that was asked for. Undefined for who came to our own port directly, not redirected: that would make
 * an open proxy of it.
 */
export async function askedNodePort(
  originalPort: LocalhostOptions['originalPort'],
  flow: RedirectedFlow,
): Promise<number | undefined> {
  const asked = await originalPort(flow).catch(() => undefined);
  return asked === flow.proxy.port ? undefined : asked;
}
