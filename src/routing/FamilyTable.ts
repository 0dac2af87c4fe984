/** The routing table of one IP family. */
import { messageOf } from '../errors.js';
import type { Cidr, IpAddress, IpFamily } from '../net/ip.js';
import type { Problem } from '../objects/Problem.js';
import type { Service } from '../objects/Service.js';
import { allowance } from './build/budget.js';
import { buildServicePort, isRouted } from './build/buildServicePort.js';
import type { ServiceBalancing } from './build/ServiceBalancing.js';
import type { ServiceEndpoints } from './build/ServiceEndpoints.js';
import { sameServicePort } from './build/sameServicePort.js';
import { copiesOf, isBudgeted, TableBudget } from './build/TableBudget.js';
import type { ServicePortChange } from './ChangeSet.js';
import { ClusterIPs } from './claims/ClusterIPs.js';
import { ServiceProblems } from './claims/ServiceProblems.js';
import { claimsOf, type Loss, rivalNodePort, servedAddresses } from './claims/servedAddresses.js';
import { VipClaims } from './claims/VipClaims.js';
import { type WantedVips, wantedVips } from './claims/wantedVips.js';
import type { NodeFacts } from './NodeFacts.js';
import type { ServicePort } from './ServicePort.js';

/** What the table remembers of one Service. */
interface Entry {
  readonly wanted: WantedVips;
  /** The keys that each port claims, by port index. */
  readonly claims: readonly (readonly string[])[];
  /** Keys of node ports that its VIPs compete with. */
  readonly rivals: readonly string[];
  ports: readonly ServicePort[];
}

/** What one Service is made of, at the time of an update. */
export interface ServiceState {
  readonly service: Service | undefined;
  /** undefined when there are no slices. */
  readonly endpoints: ServiceEndpoints | undefined;
  readonly balancing: ReturnType<ServiceBalancing['of']>;
}

/** What all Services of the family have in common. */
export interface Surroundings {
  readonly node: NodeFacts;
  /** Every known address of this node. */
  readonly ownAddresses: ReadonlySet<IpAddress>;
  /** The ranges of the ServiceCIDRs. */
  readonly ranges: readonly Cidr[];
}

const NO_VIPS: WantedVips = { clusterIP: undefined, loadBalancerIPs: [], externalIPs: [], remarks: [] };

export class FamilyTable {
  readonly family: IpFamily;
  readonly #proxyName: string;
  readonly #claims = new VipClaims();
  readonly #clusterIPs = new ClusterIPs();
  readonly #problems = new ServiceProblems(this.#claims, this.#clusterIPs);
  readonly #budget = new TableBudget();
  readonly #entries = new Map<string, Entry>();
  readonly #servicePorts = new Map<string, ServicePort>();
  /** Services whose claims are to be made anew, and Services to be built anew. They stay here until that has succeeded. */
  readonly #unclaimed = new Set<string>();
  readonly #stale = new Set<string>();
  /** How the service ports that were replaced since collect() were before, by key. */
  readonly #before = new Map<string, ServicePort | undefined>();

  constructor(family: IpFamily, proxyName: string) {
    this.family = family;
    this.#proxyName = proxyName;
  }

  /** By ServicePort.key. */
  get servicePorts(): ReadonlyMap<string, ServicePort> {
    return this.#servicePorts;
  }

  /** What is not served of the Services, a bounded number. */
  problems(): Iterable<Problem> {
    return this.#problems.list();
  }

  /** Who has the ports of the address that the Service asked for and did not get. */
  lossesOf(service: string, address: IpAddress): readonly string[] {
    return this.#problems.lossesOf(service, address);
  }

  /**
   * Brings the given Services up to date, and those that win or lose an address through them. `respecified` are the dirty
   * Services whose claims may be others; the rest of `dirty` had only endpoint changes. Costs are those of the Services
   * involved, not of the table. A Service that cannot be built keeps its service ports, is named, and is tried again at the
   * next update. May be called again after it threw.
   */
  update(
    dirty: ReadonlySet<string>,
    respecified: ReadonlySet<string>,
    stateOf: (service: string) => ServiceState,
    surroundings: Surroundings,
  ): void {
    for (const name of dirty) this.#stale.add(name);
    for (const name of respecified) this.#unclaimed.add(name);
    for (const name of this.#unclaimed) {
      const claimed = this.#attempt(name, () => this.#reclaim(name, stateOf(name).service, surroundings));
      if (claimed) this.#unclaimed.delete(name);
    }
    for (const name of this.#claims.settle()) this.#stale.add(name);
    for (const name of this.#clusterIPs.settle()) this.#stale.add(name);
    for (const name of this.#stale) {
      if (!this.#unclaimed.has(name))
        this.#attempt(name, () => this.#askBudget(name, stateOf(name), surroundings));
    }
    for (const name of this.#budget.settle()) this.#stale.add(name);
    for (const name of this.#stale) {
      if (this.#unclaimed.has(name)) continue;
      const built = this.#attempt(name, () => this.#rebuild(name, stateOf(name), surroundings));
      if (built) this.#stale.delete(name);
    }
  }

  /** What changed since the last call; each service port once. */
  collect(): ServicePortChange[] {
    const changes: ServicePortChange[] = [];
    for (const [key, before] of this.#before) {
      const after = this.#servicePorts.get(key);
      if (before !== after) changes.push({ key, before, after });
    }
    this.#before.clear();
    return changes;
  }

  /** One Service that cannot be handled must not stop the others. */
  #attempt(name: string, action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      this.#problems.failed(name, messageOf(error));
      return false;
    }
  }

  #routed(service: Service | undefined): Service | undefined {
    return service && isRouted(service, this.family, this.#proxyName) ? service : undefined;
  }

  /** Replaces the claims of a Service. */
  #reclaim(name: string, service: Service | undefined, { ownAddresses, ranges }: Surroundings): void {
    const entry = this.#entries.get(name);
    const routed = this.#routed(service);
    if (!routed && !entry) return;
    const wanted = routed ? wantedVips(routed, this.family, ranges) : NO_VIPS;
    const claims = routed?.ports.map((port) => claimsOf(wanted, port)) ?? [];
    const rivals = routed?.ports.flatMap((port) => rivalNodePort(wanted, port, ownAddresses) ?? []) ?? [];
    // From here on nothing can fail in the middle.
    for (const [portIndex, keys] of entry?.claims.entries() ?? [])
      for (const key of keys) this.#claims.remove(key, name, portIndex);
    for (const [portIndex, list] of claims.entries())
      for (const { key, rank } of list)
        this.#claims.add(key, { service: name, rank, created: routed?.created, portIndex });
    for (const key of entry?.rivals ?? []) this.#claims.unwatch(key, name);
    for (const key of rivals) this.#claims.watch(key, name);
    this.#moveClusterIP(name, entry?.wanted ?? NO_VIPS, wanted);
    const keys = claims.map((list) => list.map(({ key }) => key));
    this.#entries.set(name, { wanted, claims: keys, rivals, ports: entry?.ports ?? [] });
  }

  #moveClusterIP(name: string, before: WantedVips, after: WantedVips): void {
    for (const ip of [...before.loadBalancerIPs, ...before.externalIPs]) this.#clusterIPs.forgo(ip, name);
    if (before.clusterIP !== after.clusterIP) {
      if (before.clusterIP !== undefined) this.#clusterIPs.release(before.clusterIP, name);
      if (after.clusterIP !== undefined) this.#clusterIPs.hold(after.clusterIP, name);
    }
    for (const ip of [...after.loadBalancerIPs, ...after.externalIPs]) this.#clusterIPs.ask(ip, name);
  }

  #askBudget(name: string, { service, endpoints, balancing }: ServiceState, { node }: Surroundings): void {
    const wanted = this.#entries.get(name)?.wanted;
    const routed = this.#routed(service);
    if (!routed || !wanted || !isBudgeted(balancing)) {
      this.#budget.set(name, undefined);
      return;
    }
    const found = endpoints?.ofFamily(this.family, node.name);
    const allowed = allowance(routed, found, wanted);
    const lists = routed.ports.map((port) => ({
      endpoints: found?.of(port.name, port.protocol, allowed.endpoints) ?? [],
      copies: copiesOf(routed, allowed.vips, port.nodePort),
    }));
    this.#budget.set(name, { service: routed, balancing, lists });
  }

  #rebuild(name: string, state: ServiceState, { node, ownAddresses }: Surroundings): void {
    const entry = this.#entries.get(name);
    if (!entry) {
      this.#problems.clear(name);
      return;
    }
    const service = this.#routed(state.service);
    const losses: Loss[] = [];
    let remarks: readonly string[] = [];
    let after: readonly ServicePort[] = [];
    if (service) {
      const endpoints = state.endpoints?.ofFamily(this.family, node.name);
      const allowed = allowance(service, endpoints, entry.wanted);
      remarks = [...entry.wanted.remarks, ...allowed.remarks, ...this.#budget.remarks(name)];
      const mostEntries = this.#budget.mostEntries(name);
      const balancing = mostEntries === undefined ? state.balancing : { ...state.balancing, mostEntries };
      after = service.ports.map((port, portIndex) => {
        const served = servedAddresses(
          allowed.vips,
          { service: name, created: service.created, portIndex, port },
          ownAddresses,
          this.#claims,
          this.#clusterIPs,
        );
        for (const loss of served.losses) losses.push(loss);
        const all = endpoints?.of(port.name, port.protocol, allowed.endpoints) ?? [];
        return buildServicePort(service, port, this.family, { served, endpoints: all, balancing }, node);
      });
    }
    this.#problems.set(name, losses, remarks);
    this.#replace(entry, after);
    if (!service) this.#entries.delete(name);
  }

  #replace(entry: Entry, after: readonly ServicePort[]): void {
    const gone = new Set(entry.ports.map((port) => port.key));
    const ports = after.map((port) => {
      gone.delete(port.key);
      const old = this.#servicePorts.get(port.key);
      return old && sameServicePort(old, port) ? old : port;
    });
    for (const port of ports) {
      this.#note(port.key);
      this.#servicePorts.set(port.key, port);
    }
    for (const key of gone) {
      this.#note(key);
      this.#servicePorts.delete(key);
    }
    entry.ports = ports;
  }

  #note(key: string): void {
    if (!this.#before.has(key)) this.#before.set(key, this.#servicePorts.get(key));
  }
}
