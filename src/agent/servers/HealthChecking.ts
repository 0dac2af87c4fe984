/** Keeps the health-check node ports of both families in agreement with the routing table. */

import { IP_FAMILIES, type IpAddress, type IpFamily } from '../../net/ip.js';
import { type NodePortAddresses, selectNodePortAddresses } from '../../net/nodePortAddresses.js';
import type { Problem } from '../../objects/Problem.js';
import { ownBudget } from '../../observe/http/ConnectionBudget.js';
import { HealthCheckPorts } from '../../observe/http/HealthCheckPorts.js';
import type { ChangeSet, ServicePortChange } from '../../routing/ChangeSet.js';
import { healthChecks } from '../../routing/HealthChecks.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';

const ANY: Readonly<Record<IpFamily, IpAddress>> = { IPv4: '0.0.0.0' as IpAddress, IPv6: '::' as IpAddress };

export class HealthChecking {
  readonly #nodePortAddresses: NodePortAddresses;
  readonly #hostAddresses: () => readonly IpAddress[];
  /** What hostAddresses() said last: the same array means the same addresses. */
  #seenAddresses: readonly IpAddress[] = [];
  /** The node's own addresses that the ports of a family were last opened for: `primary` means them. */
  readonly #nodeAddresses = new Map<IpFamily, IpAddress | undefined>();
  readonly #ports: Readonly<Record<IpFamily, HealthCheckPorts>>;
  readonly #problems = new Map<IpFamily, Problem[]>();
  /** Families whose ports may have to change. */
  readonly #concerned = new Set<IpFamily>();

  constructor(
    nodePortAddresses: NodePortAddresses,
    hostAddresses: () => readonly IpAddress[],
    proxyHealthy: () => boolean,
  ) {
    this.#hostAddresses = hostAddresses;
    this.#nodePortAddresses = nodePortAddresses;
    const budget = ownBudget();
    this.#ports = {
      IPv4: new HealthCheckPorts(proxyHealthy, budget),
      IPv6: new HealthCheckPorts(proxyHealthy, budget),
    };
  }

  /** Before a sync, with everything that it is to write. It is remembered, should the sync fail. */
  take(changes: ChangeSet): void {
    for (const family of IP_FAMILIES) {
      if (changes.families[family].some(concernsHealthChecks)) this.#concerned.add(family);
    }
  }

  /**
   * For families that are in force. Looks only at those where something relevant changed, or a port could not be opened
   * before, or the host's or the node's addresses are others.
   */
  async update(table: RoutingTable, families: readonly IpFamily[]): Promise<Problem[]> {
    const host = this.#hostAddresses();
    if (host !== this.#seenAddresses) for (const family of IP_FAMILIES) this.#concerned.add(family);
    this.#seenAddresses = host;
    for (const family of families) {
      const address = table.node.addresses[family];
      if (address !== this.#nodeAddresses.get(family)) this.#concerned.add(family);
      if (!this.#concerned.delete(family) && !this.#problems.get(family)?.length) continue;
      this.#nodeAddresses.set(family, address);
      const selected = selectNodePortAddresses(this.#nodePortAddresses, family, host, address);
      const checks = healthChecks(table.servicePorts(family).values());
      const listenOn = selected === 'all' ? [ANY[family]] : selected;
      this.#problems.set(family, await this.#ports[family].update(checks, listenOn));
    }
    return [...this.#problems.values()].flat();
  }

  close(): void {
    this.#ports.IPv4.close();
    this.#ports.IPv6.close();
  }
}

function concernsHealthChecks({ before, after }: ServicePortChange): boolean {
  return (before?.healthCheckNodePort ?? 0) !== 0 || (after?.healthCheckNodePort ?? 0) !== 0;
}
