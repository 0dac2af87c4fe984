/**
 * Where packets of one protocol and IP family are sent to in order to reach a service port, and who owns each such
 * place: VIP and port, or a node port at one of this node's addresses.
 */
import { type IpAddress, isLoopback, joinHostPort } from '../../net/ip.js';
import type { ServicePort } from '../../routing/ServicePort.js';

/** `10.96.0.10:53`, for each VIP of a service port. */
export function vipTargets(port: ServicePort): string[] {
  const vips = [...port.externalIPs, ...port.loadBalancerIPs];
  if (port.clusterIP !== undefined) vips.push(port.clusterIP);
  return vips.map((vip) => joinHostPort(vip, port.port));
}

/** The addresses at which node ports answer. 127.0.0.1 among them stands for all of 127.0.0.0/8, as it is local. */
export class NodePortAddresses {
  readonly #addresses: ReadonlySet<IpAddress>;
  readonly #loopback: boolean;

  constructor(addresses: readonly IpAddress[]) {
    this.#addresses = new Set(addresses);
    this.#loopback = addresses.some((address) => address.startsWith('127.'));
  }

  has(address: IpAddress): boolean {
    return this.#addresses.has(address) || (this.#loopback && !address.includes(':') && isLoopback(address));
  }
}

export class Destinations {
  readonly #vips = new Map<string, ServicePort>();
  readonly #nodePorts = new Map<number, ServicePort>();
  readonly #addresses: NodePortAddresses;

  constructor(ports: Iterable<ServicePort>, addresses: NodePortAddresses) {
    this.#addresses = addresses;
    for (const port of ports) {
      for (const target of vipTargets(port)) this.#vips.set(target, port);
      if (port.nodePort !== 0) this.#nodePorts.set(port.nodePort, port);
    }
  }

  /** The service port that packets to `address` and `port` are for. A VIP goes before a node port, as in the rules. */
  owner(address: IpAddress, port: number): ServicePort | undefined {
    const vipOwner = this.#vips.get(joinHostPort(address, port));
    if (vipOwner !== undefined) return vipOwner;
    return this.#addresses.has(address) ? this.#nodePorts.get(port) : undefined;
  }
}
