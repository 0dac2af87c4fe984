/** Takes redirected TCP connections and passes each on to an endpoint of the service port that was asked for. */

import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type IpAddress, type IpFamily, parseIp } from '../../net/ip.js';
import type { Clock } from '../../time/Clock.js';
import { connectEndpoint } from './connectEndpoint.js';
import type { EndpointChooser } from './EndpointChooser.js';
import { joinSockets } from './joinSockets.js';
import { askedNodePort, type LocalhostOptions, type SocketEnd } from './LocalhostOptions.js';

/** With its endpoint each takes two file descriptors. */
const MAX_CONNECTIONS = 4096;

export type TcpProxyOptions = LocalhostOptions & { readonly clock: Clock };

export class TcpProxy {
  readonly #options: TcpProxyOptions;
  readonly #chooser: EndpointChooser;
  readonly #maxConnections: number;
  /** With their ports: to ask the system for one takes a call, and each change asks nine times. */
  readonly #servers = new Map<IpFamily, { readonly server: Server; readonly port: number }>();
  readonly #clients = new Set<Socket>();
  readonly #endpoints = new Set<Socket>();

  constructor(options: TcpProxyOptions, chooser: EndpointChooser) {
    this.#options = options;
    this.#chooser = chooser;
    this.#maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
  }

  /** Rejects with what the system says when the address cannot be bound. */
  async listen(family: IpFamily, address: IpAddress): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      void this.#accept(client, family);
    });
    server.listen({ host: address, port: 0, ipv6Only: family === 'IPv6' });
    await once(server, 'listening');
    // A connection that could not be accepted (no file descriptor left) is lost; the next may succeed.
    server.on('error', () => {});
    this.#servers.set(family, { server, port: (server.address() as AddressInfo).port });
  }

  port(family: IpFamily): number | undefined {
    return this.#servers.get(family)?.port;
  }

  /** Resets all connections. */
  async close(): Promise<void> {
    const closed = [...this.#servers.values()].map(({ server }) => {
      return new Promise((resolve) => server.close(resolve));
    });
    this.#servers.clear();
    for (const client of this.#clients) client.resetAndDestroy();
    for (const endpoint of this.#endpoints) {
      // A reset would wait for the connection.
      if (endpoint.connecting) endpoint.destroy();
      else endpoint.resetAndDestroy();
    }
    await Promise.all(closed);
  }

  async #accept(client: Socket, family: IpFamily): Promise<void> {
    client.on('error', () => {});
    if (this.#clients.size >= this.#maxConnections) {
      client.resetAndDestroy();
      return;
    }
    keepWhileOpen(this.#clients, client);
    const endpoint = await this.#connect(client, family);
    if (client.destroyed) endpoint?.resetAndDestroy();
    else if (endpoint === undefined) client.resetAndDestroy();
    else joinSockets(client, endpoint);
  }

  /** Undefined when nobody serves what the client asked for. */
  async #connect(client: Socket, family: IpFamily): Promise<Socket | undefined> {
    const { originalPort, servicePort } = this.#options;
    const clientEnd = socketEnd(client.remoteAddress, client.remotePort);
    const proxyEnd = socketEnd(client.localAddress, client.localPort);
    if (clientEnd === undefined || proxyEnd === undefined) return undefined;
    const nodePort = await askedNodePort(originalPort, {
      family,
      protocol: 'TCP',
      client: clientEnd,
      proxy: proxyEnd,
    });
    const port = nodePort === undefined ? undefined : servicePort(family, 'TCP', nodePort);
    if (port === undefined) return undefined;
    for (const endpoint of this.#chooser.order(port)) {
      if (client.destroyed) return undefined;
      const socket = await connectEndpoint(endpoint, this.#options.clock, (opened) =>
        keepWhileOpen(this.#endpoints, opened),
      );
      if (socket === undefined) continue;
      this.#chooser.stick(port, endpoint);
      return socket;
    }
    return undefined;
  }
}

/** Undefined for a socket that has lost its connection already. */
function socketEnd(address: string | undefined, port: number | undefined): SocketEnd | undefined {
  const ip = address === undefined ? undefined : parseIp(address);
  return ip === undefined || port === undefined ? undefined : { address: ip, port };
}

function keepWhileOpen(open: Set<Socket>, socket: Socket): void {
  open.add(socket);
  socket.once('close', () => open.delete(socket));
}
