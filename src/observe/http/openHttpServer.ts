/** An HTTP server as Go's are opened: what clients of kube-proxy's ports expect. */
import { createServer, type RequestListener, type Server } from 'node:http';
import { type IpAddress, isUnspecified } from '../../net/ip.js';
import type { ConnectionBudget } from './ConnectionBudget.js';

export interface HttpAddress {
  readonly host: IpAddress;
  /** 0: any that is free. */
  readonly port: number;
  /**
   * What 0.0.0.0 and :: mean. `family`: all addresses of that family. `both`: those of both families, as in Go's
   * net.Listen("tcp"), so that the port answers on every address of the node.
   */
  readonly unspecified: 'family' | 'both';
}

/** Milliseconds. A client that has not said what it wants by then is cut off; so is one that does not read its answer. */
const TIME_LIMITS = { headersTimeout: 3000, requestTimeout: 5000, connectionsCheckingInterval: 1000 };
const SILENCE_LIMIT = 30_000;

/** Rejects when the address cannot be bound; the message names address and port. */
export async function openHttpServer(
  address: HttpAddress,
  budget: ConnectionBudget,
  answer: RequestListener,
): Promise<Server> {
  const { host, port, unspecified } = address;
  const server = createServer(TIME_LIMITS, answer);
  server.setTimeout(SILENCE_LIMIT);
  budget.include(server);
  if (unspecified === 'both' && isUnspecified(host)) await listenOnBoth(server, host, port);
  else await listen(server, { host, port, ipv6Only: host.includes(':') });
  // accept() fails while descriptors are used up. The connection is lost, the server is not.
  server.on('error', () => {});
  return server;
}

/** Without IPv6 in the kernel there is only one family. */
async function listenOnBoth(server: Server, host: string, port: number): Promise<void> {
  try {
    await listen(server, { host: '::', port, ipv6Only: false });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (host === '::' || (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL')) throw error;
    await listen(server, { host, port, ipv6Only: false });
  }
}

interface Place {
  readonly host: string;
  readonly port: number;
  readonly ipv6Only: boolean;
}

function listen(server: Server, place: Place): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(place, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
