/** Takes redirected UDP datagrams of one IP family and passes them on, a flow for each client socket. */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type IpAddress, type IpFamily, joinHostPort, parseIp } from '../../net/ip.js';
import { type Clock, every } from '../../time/Clock.js';
import type { EndpointChooser } from './EndpointChooser.js';
import { askedNodePort, type LocalhostOptions, type SocketEnd } from './LocalhostOptions.js';
import { UdpFlow } from './UdpFlow.js';

/** Each has a socket and may hold 64 KiB. */
const MAX_FLOWS = 1024;
/** Milliseconds between two searches for idle flows. */
const SWEEP_MS = 5000;

export interface UdpProxyOptions extends LocalhostOptions {
  readonly clock: Clock;
}

export class UdpProxy {
  readonly #family: IpFamily;
  readonly #options: UdpProxyOptions;
  readonly #chooser: EndpointChooser;
  readonly #maxFlows: number;
  readonly #socket: Socket;
  readonly #proxy: SocketEnd;
  readonly #endSweeps: () => void;
  /**
   * By client, the longest unused first. One client socket may use several node ports: conntrack then shows it under a
   * source port for each, because their replies would be the same to it (nf_nat_core.c, get_unique_tuple).
   */
  readonly #flows = new Map<string, UdpFlow>();

  /** Rejects with what the system says when the address cannot be bound. */
  static async open(
    family: IpFamily,
    address: IpAddress,
    options: UdpProxyOptions,
    chooser: EndpointChooser,
  ): Promise<UdpProxy> {
    const socket = createSocket({ type: family === 'IPv4' ? 'udp4' : 'udp6', ipv6Only: family === 'IPv6' });
    socket.bind(0, address);
    try {
      await once(socket, 'listening');
    } catch (error) {
      socket.close();
      throw error;
    }
    return new UdpProxy(family, { address, port: socket.address().port }, socket, options, chooser);
  }

  private constructor(
    family: IpFamily,
    proxy: SocketEnd,
    socket: Socket,
    options: UdpProxyOptions,
    chooser: EndpointChooser,
  ) {
    this.#family = family;
    this.#proxy = proxy;
    this.#socket = socket;
    this.#options = options;
    this.#chooser = chooser;
    this.#maxFlows = options.maxFlows ?? MAX_FLOWS;
    this.#endSweeps = every(options.clock, SWEEP_MS, () => this.#sweep());
    // A datagram that could not be received is lost.
    socket.on('error', () => {});
    socket.on('message', (datagram, from) => {
      const address = parseIp(from.address);
      if (address !== undefined) this.#take(datagram, { address, port: from.port });
    });
  }

  get port(): number {
    return this.#proxy.port;
  }

  async close(): Promise<void> {
    this.#endSweeps();
    for (const flow of this.#flows.values()) flow.close();
    this.#flows.clear();
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }

  #take(datagram: Buffer, client: SocketEnd): void {
    const key = joinHostPort(client.address, client.port);
    let flow = this.#flows.get(key);
    if (flow?.idle) {
      this.#drop(key, flow);
      flow = undefined;
    }
    if (flow === undefined) {
      this.#makeRoom();
      flow = this.#flow(key, client);
    }
    this.#touch(key, flow);
    flow.send(datagram);
  }

  #flow(key: string, client: SocketEnd): UdpFlow {
    const { originalPort, servicePort, clock } = this.#options;
    const asked = { family: this.#family, protocol: 'UDP', client, proxy: this.#proxy } as const;
    const flow: UdpFlow = new UdpFlow({
      family: this.#family,
      chooser: this.#chooser,
      now: () => clock.now(),
      nodePort: () => askedNodePort(originalPort, asked),
      servicePort: (nodePort) => servicePort(this.#family, 'UDP', nodePort),
      reply: (reply) => {
        this.#touch(key, flow);
        // A client that has gone is no fault of ours.
        this.#socket.send(reply, client.port, client.address, () => {});
      },
      ended: () => this.#flows.delete(key),
    });
    return flow;
  }

  #touch(key: string, flow: UdpFlow): void {
    this.#flows.delete(key);
    this.#flows.set(key, flow);
  }

  #makeRoom(): void {
    if (this.#flows.size < this.#maxFlows) return;
    const [oldest] = this.#flows;
    if (oldest !== undefined) this.#drop(...oldest);
  }

  #sweep(): void {
    for (const [key, flow] of this.#flows) if (flow.idle) this.#drop(key, flow);
  }

  #drop(key: string, flow: UdpFlow): void {
    flow.close();
    this.#flows.delete(key);
  }
}
