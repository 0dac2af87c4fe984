/** All that the kernel holds for one service port: virtual servers, elements of sets, addresses on kube-ipvs0. Pure. */

import { slotsSize } from '../../../balancing/slots.js';
import { masqueraded, type RealServer } from '../../../kernel/ipvs/RealServer.js';
import {
  FULL_NETMASK,
  type VirtualServer,
  VirtualServerFlag,
  type VirtualServerId,
  virtualServerKey,
} from '../../../kernel/ipvs/VirtualServer.js';
import type { IpAddress } from '../../../net/ip.js';
import {
  type Endpoint,
  externalVerdict,
  internalVerdict,
  isExternallyAccessible,
  type ServicePort,
} from '../../../routing/ServicePort.js';
import type { IpvsSettings } from './IpvsSettings.js';
import { placeElement, rangeElement, type SetEntry } from './SetEntry.js';
import { canDrain, type Scheduling, STICKY_BY_MARK, schedulingOf, weightsOf } from './scheduling.js';
import { LOCALHOST_REFUSED, NODE_PORT_SETS, type SetName } from './sets.js';

/** `vip` wins over `node port` when both want the same address and port. */
export type ServerRank = 'vip' | 'node port';

/** By target, `10.0.0.1:80`. */
export type RealServers = ReadonlyMap<string, RealServer>;

export interface WantedServer {
  /** virtualServerKey() */
  readonly key: string;
  readonly server: VirtualServer;
  readonly realServers: RealServers;
  /** ServicePort.key */
  readonly owner: string;
  readonly rank: ServerRank;
  /** What comes from outside the cluster, or from anywhere if there is no clusterMark, is dropped. */
  readonly drop: boolean;
  /** The mark of the virtual server that clients in the cluster have instead of this one. */
  readonly clusterMark: number | undefined;
  /** A real server that goes keeps its connections until they end. */
  readonly drains: boolean;
}

export interface ServicePortState {
  readonly servers: readonly WantedServer[];
  readonly entries: readonly SetEntry[];
  /** To be bound to kube-ipvs0. */
  readonly addresses: readonly IpAddress[];
}

/** External policy Local: clients in the cluster have a virtual server of their own, found by mark. */
export function needsMark(port: ServicePort): boolean {
  return port.externalPolicy === 'Local' && isExternallyAccessible(port);
}

/** `mark` is that of needsMark(). `unavailable`: schedulers that this kernel does not have. */
export function servicePortState(
  port: ServicePort,
  settings: IpvsSettings,
  mark: number | undefined,
  unavailable: ReadonlySet<string>,
): ServicePortState {
  const state = new StateBuilder(port, settings, mark, unavailable);
  state.build();
  return state;
}

type ServerPolicy = Pick<WantedServer, 'drop' | 'clusterMark'>;

class StateBuilder implements ServicePortState {
  readonly servers: WantedServer[] = [];
  readonly entries: SetEntry[] = [];
  readonly addresses: IpAddress[] = [];
  readonly #port: ServicePort;
  readonly #settings: IpvsSettings;
  readonly #mark: number | undefined;
  /** For external IPs, load-balancer IPs and node ports. */
  readonly #outside: ServerPolicy;
  readonly #unavailable: ReadonlySet<string>;
  readonly #scheduling: Scheduling;
  /** One object for each list, however many VIPs share it. */
  readonly #realServers = new Map<readonly Endpoint[], RealServers>();
  /** A VIP that is of two kinds counts as the first of them. */
  readonly #seen = new Set<IpAddress>();

  constructor(
    port: ServicePort,
    settings: IpvsSettings,
    mark: number | undefined,
    unavailable: ReadonlySet<string>,
  ) {
    this.#port = port;
    this.#settings = settings;
    this.#mark = mark;
    this.#outside = { drop: externalVerdict(port) === 'drop', clusterMark: mark };
    this.#unavailable = unavailable;
    this.#scheduling = this.#possible(schedulingOf(port, settings.scheduler));
  }

  build(): void {
    const { clusterIP, internalPolicy, externalPolicy, endpoints, healthCheckNodePort } = this.#port;
    if (clusterIP !== undefined) {
      const servers = internalPolicy === 'Local' ? endpoints.local : endpoints.cluster;
      const drop = internalVerdict(this.#port) === 'drop';
      this.#addVip(clusterIP, servers, ['KUBE-CLUSTER-IP'], { drop, clusterMark: undefined });
    }
    const outside = externalPolicy === 'Local' ? endpoints.local : endpoints.cluster;
    this.#addExternalIPs(outside);
    this.#addLoadBalancerIPs(outside);
    this.#addNodePort(outside);
    if (this.#mark !== undefined) {
      const { family } = this.#port;
      this.#addServer({ family, mark: this.#mark }, endpoints.cluster, 'vip', {
        drop: false,
        clusterMark: undefined,
      });
    }
    if (healthCheckNodePort !== 0) this.#add('KUBE-HEALTH-CHECK-NODE-PORT', `${healthCheckNodePort}`);
    for (const { address, port, mayBeHere } of endpoints.all) {
      // A connection to itself must come from somebody else, or its answers never pass here.
      if (mayBeHere) {
        const { protocol } = this.#port;
        this.#add('KUBE-LOOP-BACK', `${placeElement(address, protocol, port)},${address}`);
      }
    }
  }

  #addExternalIPs(servers: readonly Endpoint[]): void {
    const { externalIPs, externalPolicy } = this.#port;
    const set = externalPolicy === 'Local' ? 'KUBE-EXTERNAL-IP-LOCAL' : 'KUBE-EXTERNAL-IP';
    for (const ip of externalIPs) this.#addVip(ip, servers, [set], this.#outside);
  }

  #addLoadBalancerIPs(servers: readonly Endpoint[]): void {
    const { loadBalancerIPs, externalPolicy, sourceRanges, nodeInSourceRanges, protocol, port } = this.#port;
    const sets: SetName[] = ['KUBE-LOAD-BALANCER'];
    if (externalPolicy === 'Local') sets.push('KUBE-LOAD-BALANCER-LOCAL');
    if (sourceRanges.length > 0) sets.push('KUBE-LOAD-BALANCER-FW');
    for (const address of loadBalancerIPs) {
      if (!this.#addVip(address, servers, sets, this.#outside)) continue;
      const place = placeElement(address, protocol, port);
      for (const range of sourceRanges) {
        this.#add('KUBE-LOAD-BALANCER-SOURCE-CIDR', `${place},${rangeElement(range)}`);
      }
      // The node reaches its own load-balancer IPs with that very IP as source.
      if (sourceRanges.length > 0 && nodeInSourceRanges) {
        this.#add('KUBE-LOAD-BALANCER-SOURCE-IP', `${place},${address}`);
      }
    }
  }

  /** False when it is there already. */
  #addVip(
    address: IpAddress,
    servers: readonly Endpoint[],
    sets: readonly SetName[],
    policy: ServerPolicy,
  ): boolean {
    if (this.#seen.has(address)) return false;
    this.#seen.add(address);
    const { family, protocol, port } = this.#port;
    for (const set of sets) this.#add(set, placeElement(address, protocol, port));
    this.#addServer({ family, protocol, address, port }, servers, 'vip', policy);
    if (!this.#settings.hostIPs.includes(address)) {
      this.addresses.push(address);
      this.#add('KUBE-IPVS-IPS', address);
    }
    return true;
  }

  #addNodePort(servers: readonly Endpoint[]): void {
    const { nodePort: port, family, protocol, externalPolicy, endpoints, balancing } = this.#port;
    if (port === 0) return;
    const { all, local } = NODE_PORT_SETS[protocol];
    const sets = externalPolicy === 'Local' ? [all, local] : [all];
    if (protocol !== 'SCTP') {
      for (const set of sets) this.#add(set, `${port}`);
      // The node is no outsider: policy Local does not bind it.
      const served = slotsSize(endpoints.cluster, balancing.weights) > 0;
      if (!served) this.#add(LOCALHOST_REFUSED[protocol], `${port}`);
    }
    for (const address of this.#settings.nodePortIPs) {
      if (protocol === 'SCTP') {
        for (const set of sets) this.#add(set, placeElement(address, protocol, port));
      }
      this.#addServer({ family, protocol, address, port }, servers, 'node port', this.#outside);
    }
  }

  #add(set: SetName, element: string): void {
    this.entries.push({ set, element });
  }

  #addServer(
    id: VirtualServerId,
    endpoints: readonly Endpoint[],
    rank: ServerRank,
    policy: ServerPolicy,
  ): void {
    const { key, family, protocol, affinitySeconds } = this.#port;
    const isSticky = affinitySeconds !== undefined;
    // IPVS does not translate ports for a mark that is persistent (ip_vs_sched_persist), so clients stay by a hash of their address.
    const isHashed = isSticky && 'mark' in id;
    const { scheduler, flags } = isHashed ? this.#possible(STICKY_BY_MARK) : this.#scheduling;
    const isPersistent = isSticky && !isHashed;
    this.servers.push({
      key: virtualServerKey(id),
      server: {
        ...id,
        scheduler,
        flags: flags | (isPersistent ? VirtualServerFlag.PERSISTENT : 0),
        timeoutSeconds: isPersistent ? affinitySeconds : 0,
        netmaskBits: FULL_NETMASK[family],
      },
      realServers: this.#realServersOf(endpoints),
      owner: key,
      rank,
      ...policy,
      drains: protocol === 'TCP' && canDrain(scheduler),
    });
  }

  /** `asked`, unless this kernel lacks that scheduler. */
  #possible(asked: Scheduling): Scheduling {
    return this.#unavailable.has(asked.scheduler) ? { scheduler: this.#settings.scheduler, flags: 0 } : asked;
  }

  #realServersOf(endpoints: readonly Endpoint[]): RealServers {
    const known = this.#realServers.get(endpoints);
    if (known) return known;
    const weights = weightsOf(endpoints, this.#port);
    const servers = new Map(
      endpoints.map((endpoint) => [
        endpoint.target,
        masqueraded(endpoint, weights.get(endpoint.target) ?? 1),
      ]),
    );
    this.#realServers.set(endpoints, servers);
    return servers;
  }
}
