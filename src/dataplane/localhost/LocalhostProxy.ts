/**
 * Node ports on 127.0.0.0/8 and ::1. Packets from loopback never leave the host unless route_localnet is set, which opens
 * loopback to the neighbours (CVE-2020-8558). So a rule redirects them to us, and we pass the bytes on: as KEP-6032,
 * and UDP too.
 */

import { messageOf, PenstockError } from '../../errors.js';
import { type IpAddress, type IpFamily, LOOPBACK } from '../../net/ip.js';
import { systemClock } from '../../time/Clock.js';
import { EndpointChooser } from './EndpointChooser.js';
import type { LocalhostOptions, LocalhostProtocol } from './LocalhostOptions.js';
import { TcpProxy } from './TcpProxy.js';
import { UdpProxy } from './UdpProxy.js';

/** What bind says when the family, or its loopback address, does not exist here. */
const NO_LOOPBACK: readonly string[] = ['EADDRNOTAVAIL', 'EAFNOSUPPORT'];

export class LocalhostProxy {
  readonly #tcp: TcpProxy;
  readonly #udp: Map<IpFamily, UdpProxy>;
  #closed: Promise<void> | undefined;

  /**
   * Listens on the loopback address of each family, on ports that the system picks. A family without loopback is left
   * out. Rejects with PENSTOCK_LOCALHOST_LISTEN when a socket cannot be had.
   */
  static async open(families: readonly IpFamily[], options: LocalhostOptions): Promise<LocalhostProxy> {
    const { random = Math.random, clock = systemClock } = options;
    const chooser = new EndpointChooser(random, () => clock.now());
    const tcp = new TcpProxy({ ...options, clock }, chooser);
    const udp = new Map<IpFamily, UdpProxy>();
    const proxy = new LocalhostProxy(tcp, udp);
    for (const family of families) {
      // Where the rule `redirect` sends what the host itself has sent (nf_nat_redirect.c).
      const address = LOOPBACK[family];
      try {
        await tcp.listen(family, address);
        udp.set(family, await UdpProxy.open(family, address, { ...options, clock }, chooser));
      } catch (error) {
        if (NO_LOOPBACK.includes((error as NodeJS.ErrnoException).code ?? '')) continue;
        await proxy.close();
        throw cannotListen(address, error);
      }
    }
    return proxy;
  }

  private constructor(tcp: TcpProxy, udp: Map<IpFamily, UdpProxy>) {
    this.#tcp = tcp;
    this.#udp = udp;
  }

  /** The port on loopback to redirect to. Undefined for a family that was left out, and after close(). */
  port(family: IpFamily, protocol: LocalhostProtocol): number | undefined {
    return protocol === 'TCP' ? this.#tcp.port(family) : this.#udp.get(family)?.port;
  }

  /** Resets all connections, forgets all flows. May be called again. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const udp = [...this.#udp.values()];
    this.#udp.clear();
    await Promise.all([this.#tcp.close(), ...udp.map((one) => one.close())]);
  }
}

function cannotListen(address: IpAddress, cause: unknown): PenstockError {
  return new PenstockError(
    'PENSTOCK_LOCALHOST_LISTEN',
    `no port on ${address} for node ports on localhost: ${messageOf(cause)}`,
    { cause, remedy: 'Raise the limit of open files (LimitNOFILE), or free ports on loopback.' },
  );
}
