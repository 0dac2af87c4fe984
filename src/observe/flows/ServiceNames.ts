/**
 * VIPs and node ports by name, made anew when the table has changed, and at most every few seconds: packets that fail must not
 * cost a look at the whole table.
 */
import { IP_FAMILIES } from '../../net/ip.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { FailedPacket, FlowNames } from './FlowLog.js';

const FRESH_MS = 2000;

type NamedTable = Pick<RoutingTable, 'servicePorts' | 'slices' | 'generation'>;

export class ServiceNames {
  readonly #table: NamedTable;
  readonly #now: () => number;
  #services: ReadonlyMap<string, string> = new Map();
  #pods: ReadonlyMap<string, string> = new Map();
  #made = Number.NEGATIVE_INFINITY;
  /** Of the table that they were made of. */
  #generation: number | undefined;

  constructor(table: NamedTable, now: () => number) {
    this.#table = table;
    this.#now = now;
  }

  of({ protocol, source, destination, destinationPort, endpoint }: FailedPacket): FlowNames {
    this.#refresh();
    const service =
      this.#services.get(`${destination} ${destinationPort} ${protocol}`) ??
      this.#services.get(`node ${destinationPort} ${protocol}`) ??
      this.#services.get(destination) ??
      '';
    const pod = (address: string | undefined) => this.#pods.get(address ?? '') ?? '';
    return { service, client: pod(source), endpoint: pod(endpoint?.address) };
  }

  #refresh(): void {
    const now = this.#now();
    const { generation } = this.#table;
    if (generation === this.#generation || now - this.#made < FRESH_MS) return;
    this.#generation = generation;
    this.#made = now;
    const services = new Map<string, string>();
    for (const family of IP_FAMILIES) {
      for (const port of this.#table.servicePorts(family).values()) {
        const vips = [
          ...port.externalIPs,
          ...port.loadBalancerIPs,
          ...(port.clusterIP ? [port.clusterIP] : []),
        ];
        for (const ip of vips) services.set(`${ip} ${port.port} ${port.protocol}`, port.name);
        // For ports that the Service does not have.
        if (port.clusterIP !== undefined) services.set(port.clusterIP, `${port.namespace}/${port.service}`);
        if (port.nodePort !== 0) services.set(`node ${port.nodePort} ${port.protocol}`, port.name);
      }
    }
    const pods = new Map<string, string>();
    for (const slice of this.#table.slices())
      for (const { address, podName } of slice.endpoints)
        if (podName !== undefined) pods.set(address, `${slice.namespace}/${podName}`);
    this.#services = services;
    this.#pods = pods;
  }
}
