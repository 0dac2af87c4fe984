/**
 * The datagrams of one client socket to one node port, passed on to one endpoint through a socket of their own, and
 * the replies.
 */
import { createSocket, type Socket } from 'node:dgram';
import type { IpFamily } from '../../net/ip.js';
import type { Endpoint, ServicePort } from '../../routing/ServicePort.js';
import { type EndpointChooser, isCandidate } from './EndpointChooser.js';

/**
 * Milliseconds without a datagram after which the kernel forgets a UDP flow, before and after the first reply:
 * nf_conntrack_udp_timeout and nf_conntrack_udp_timeout_stream (Documentation/networking/nf_conntrack-sysctl.rst).
 */
const UNREPLIED_IDLE_MS = 30_000;
const REPLIED_IDLE_MS = 120_000;
/**
 * Milliseconds without a datagram after which the node port is asked for again. Well below the time after which the
 * kernel may forget the flow, and another client use its port for another node port.
 */
const CERTAIN_MS = 10_000;
/** Datagrams are held for a node port to be found, and for the next endpoint while one that is dead may still say so. */
const HELD_DATAGRAMS = 8;
const HELD_BYTES = 65_536;
const REFUSAL_MS = 1000;

/** What the kernel says of an endpoint, or its node, that is not there. */
const DEAD: readonly string[] = ['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'];

export interface UdpFlowOptions {
  readonly family: IpFamily;
  readonly chooser: EndpointChooser;
  readonly now: () => number;
  /** The node port that the client asks for now. Never rejects. */
  readonly nodePort: () => Promise<number | undefined>;
  readonly servicePort: (nodePort: number) => ServicePort | undefined;
  readonly reply: (datagram: Buffer) => void;
  /** The flow has closed by itself. */
  readonly ended: () => void;
}

interface Held {
  readonly datagram: Buffer;
  readonly since: number;
}

/** Where the datagrams go. */
interface Upstream {
  readonly socket: Socket;
  readonly nodePort: number;
  readonly endpoint: Endpoint;
  /** The row that the endpoint was found in last. */
  servicePort: ServicePort;
  /** Who else may be tried. */
  readonly others: Iterator<Endpoint, void>;
  connected: boolean;
  replied: boolean;
}

export class UdpFlow {
  readonly #options: UdpFlowOptions;
  #upstream: Upstream | undefined;
  #held: Held[] = [];
  #asking = false;
  #closed = false;
  /** When the last datagram went either way. */
  #lastUse: number;

  constructor(options: UdpFlowOptions) {
    this.#options = options;
    this.#lastUse = options.now();
  }

  /** Nothing has come for so long that the kernel may have forgotten it too. */
  get idle(): boolean {
    const limit = this.#upstream?.replied ? REPLIED_IDLE_MS : UNREPLIED_IDLE_MS;
    return this.#options.now() - this.#lastUse >= limit;
  }

  /** Passes a datagram of the client on; it is lost when nobody serves it, or too many wait. */
  send(datagram: Buffer): void {
    const now = this.#options.now();
    const certain = now - this.#lastUse < CERTAIN_MS;
    this.#lastUse = now;
    const upstream = this.#upstream;
    if (!this.#asking && certain && upstream !== undefined && this.#isServed(upstream)) {
      if (!upstream.replied) this.#hold(datagram);
      this.#transmit(upstream, datagram);
      return;
    }
    this.#hold(datagram);
    if (!this.#asking) void this.#ask();
  }

  /** `ended` is not called. */
  close(): void {
    this.#closed = true;
    this.#held = [];
    this.#disconnect();
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    const asked = await this.#options.nodePort();
    this.#asking = false;
    if (this.#closed) return;
    const upstream = this.#upstream;
    if (upstream !== undefined && upstream.nodePort === asked && this.#isServed(upstream)) {
      for (const { datagram } of this.#held) this.#transmit(upstream, datagram);
      if (upstream.replied) this.#held = [];
      return;
    }
    this.#disconnect();
    const port = asked === undefined ? undefined : this.#options.servicePort(asked);
    if (asked === undefined || port === undefined) this.#end();
    else this.#connect(asked, port, this.#options.chooser.order(port));
  }

  /** Takes the next endpoint and sends it what is held. */
  #connect(nodePort: number, servicePort: ServicePort, others: Iterator<Endpoint, void>): void {
    const { value: endpoint } = others.next();
    if (!endpoint) {
      this.#end();
      return;
    }
    const { family, chooser } = this.#options;
    const socket = createSocket(family === 'IPv4' ? 'udp4' : 'udp6');
    const upstream = { socket, nodePort, endpoint, servicePort, others, connected: false, replied: false };
    this.#upstream = upstream;
    chooser.stick(servicePort, endpoint);
    socket.on('error', (error) => this.#failed(upstream, error));
    socket.on('message', (datagram) => this.#reply(upstream, datagram));
    socket.once('connect', () => {
      upstream.connected = true;
      for (const { datagram } of this.#held) this.#transmit(upstream, datagram);
    });
    socket.connect(endpoint.port, endpoint.address);
  }

  /** Before the connection is made nothing is sent: what is held will be. */
  #transmit(upstream: Upstream, datagram: Buffer): void {
    if (!upstream.connected) return;
    upstream.socket.send(datagram, (error) => {
      // Any other fault (a firewall's EPERM) loses this datagram only.
      if (error !== null && isDead(error)) this.#failed(upstream, error);
    });
  }

  #reply(upstream: Upstream, datagram: Buffer): void {
    if (upstream !== this.#upstream) return;
    upstream.replied = true;
    this.#held = [];
    this.#lastUse = this.#options.now();
    this.#options.reply(datagram);
  }

  /** An endpoint that has answered before may have heard what it was sent: only one that has not is replaced. */
  #failed(upstream: Upstream, error: Error): void {
    if (upstream !== this.#upstream) return;
    this.#disconnect();
    this.#forgetOld();
    if (!isDead(error) || upstream.replied || this.#held.length === 0) this.#end();
    else this.#connect(upstream.nodePort, upstream.servicePort, upstream.others);
  }

  #isServed(upstream: Upstream): boolean {
    const port = this.#options.servicePort(upstream.nodePort);
    if (port === undefined) return false;
    if (port !== upstream.servicePort) {
      if (!isCandidate(port, upstream.endpoint.target)) return false;
      upstream.servicePort = port;
    }
    return true;
  }

  #hold(datagram: Buffer): void {
    this.#forgetOld();
    const bytes = this.#held.reduce((sum, held) => sum + held.datagram.length, datagram.length);
    if (this.#held.length >= HELD_DATAGRAMS || bytes > HELD_BYTES) return;
    this.#held.push({ datagram, since: this.#options.now() });
  }

  #forgetOld(): void {
    const now = this.#options.now();
    this.#held = this.#held.filter(({ since }) => now - since < REFUSAL_MS);
  }

  #disconnect(): void {
    this.#upstream?.socket.close();
    this.#upstream = undefined;
  }

  #end(): void {
    this.close();
    this.#options.ended();
  }
}

function isDead(error: NodeJS.ErrnoException): boolean {
  return DEAD.includes(error.code ?? '');
}
