/** The routing table of one IP family. */
import type { Balancing } from '../balancing/Balancing.js';
import { messageOf } from '../errors.js';
import type { Cidr, IpAddress, IpFamily } from '../net/ip.js';
import type { Problem } from '../objects/Problem.js';
import type { Service } from '../objects/Service.js';
import { allowance } from './build/budget.js';
import { buildServicePort, isRouted } from './build/buildServicePort.js';
import type { ServiceEndpoints } from './build/ServiceEndpoints.js';
import { sameServicePort } from './build/sameServicePort.js';
import { copiesOf, isBudgeted, TableBudget } from './build/TableBudget.js';
import type { ServicePortChange } from './ChangeSet.js';
import { ClusterIPs } from './claims/ClusterIPs.js';
import { ServiceProblems } from './claims/ServiceProblems.js';
import {
  type Claim,
  claimsOf,
  type Loss,
  rivalNodePorts,
  servedAddresses,
} from './claims/servedAddresses.js';
import { VipClaims } from './claims/VipClaims.js';
import { type WantedVips, wantedVips } from './claims/wantedVips.js';
import type { NodeFacts } from './NodeFacts.js';
import type { ServicePort } from './ServicePort.js';

/** What the table remembers of one Service. */
interface Entry {
  readonly wanted: WantedVips;
  /** Of all its ports. */
  readonly claims: readonly Claim[];
  /** Keys of node ports that its VIPs compete with. */
  readonly rivals: readonly string[];
  ports: readonly ServicePort[];
}

/** What Services are made of at the time of an update, by `namespace/name`. */
export interface ServiceParts {
  service(path: string): Service | undefined;
  /** undefined when there are no slices. */
  endpoints(path: string): ServiceEndpoints | undefined;
  balancing(path: string): Balancing;
}

/** One step of an update, for one Service. */
type Step = (name: string, parts: ServiceParts, surroundings: Surroundings) => void;

/** What all Services of the family have in common. */
export interface Surroundings {
  readonly node: NodeFacts;
  /** Every known address of this node. */
  readonly ownAddresses: ReadonlySet<IpAddress>;
  /** The ranges of the ServiceCIDRs. */
  readonly ranges: readonly Cidr[];
}

const NO_KEYS: readonly string[] = [];
const NO_CLAIMS: readonly Claim[] = [];
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
    parts: ServiceParts,
    surroundings: Surroundings,
  ): void {
    for (const name of this.#unclaimed) {
      if (!this.#attempt(name, this.#reclaim, parts, surroundings)) continue;
      this.#unclaimed.delete(name);
      if (this.#entries.has(name)) this.#stale.add(name);
    }
    for (const name of respecified)
      if (!this.#attempt(name, this.#reclaim, parts, surroundings)) this.#unclaimed.add(name);
    // Whoever has no entry now is none of this family's.
    for (const name of dirty) if (this.#entries.has(name)) this.#stale.add(name);
    this.#claims.settle(this.#stale);
    this.#clusterIPs.settle(this.#stale);
    for (const name of this.#stale)
      if (!this.#unclaimed.has(name)) this.#attempt(name, this.#askBudget, parts, surroundings);
    for (const name of this.#budget.settle()) this.#stale.add(name);
    for (const name of this.#stale) {
      if (this.#unclaimed.has(name)) continue;
      if (this.#attempt(name, this.#rebuild, parts, surroundings)) this.#stale.delete(name);
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
  #attempt(name: string, step: Step, parts: ServiceParts, surroundings: Surroundings): boolean {
    try {
      step.call(this, name, parts, surroundings);
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
  #reclaim(name: string, parts: ServiceParts, { ownAddresses, ranges }: Surroundings): void {
    const entry = this.#entries.get(name);
    const routed = this.#routed(parts.service(name));
    if (!routed && !entry) {
      this.#problems.clear(name);
      return;
    }
    const wanted = routed ? wantedVips(routed, this.family, ranges) : NO_VIPS;
    const claims = routed ? claimsOf(wanted, name, routed) : NO_CLAIMS;
    const rivals = routed ? rivalNodePorts(wanted, routed.ports, ownAddresses) : NO_KEYS;
    // From here on nothing can fail in the middle.
    for (const { key, portIndex } of entry?.claims ?? NO_CLAIMS) this.#claims.remove(key, name, portIndex);
    for (const claim of claims) this.#claims.add(claim.key, claim);
    for (const key of entry?.rivals ?? NO_KEYS) this.#claims.unwatch(key, name);
    for (const key of rivals) this.#claims.watch(key, name);
    this.#moveClusterIP(name, entry?.wanted ?? NO_VIPS, wanted);
    this.#entries.set(name, { wanted, claims, rivals, ports: entry?.ports ?? [] });
  }

  #moveClusterIP(name: string, before: WantedVips, after: WantedVips): void {
    for (const ip of before.loadBalancerIPs) this.#clusterIPs.forgo(ip, name);
    for (const ip of before.externalIPs) this.#clusterIPs.forgo(ip, name);
    if (before.clusterIP !== after.clusterIP) {
      if (before.clusterIP !== undefined) this.#clusterIPs.release(before.clusterIP, name);
      if (after.clusterIP !== undefined) this.#clusterIPs.hold(after.clusterIP, name);
    }
    for (const ip of after.loadBalancerIPs) this.#clusterIPs.ask(ip, name);
    for (const ip of after.externalIPs) this.#clusterIPs.ask(ip, name);
  }

  #askBudget(name: string, parts: ServiceParts, { node }: Surroundings): void {
    const balancing = parts.balancing(name);
    const routed = isBudgeted(balancing) ? this.#routed(parts.service(name)) : undefined;
    const wanted = routed && this.#entries.get(name)?.wanted;
    if (!wanted) {
      this.#budget.set(name, undefined);
      return;
    }
    const found = parts.endpoints(name)?.ofFamily(this.family, node.name);
    const allowed = allowance(routed, found, wanted);
    const lists = routed.ports.map((port) => ({
      endpoints: found?.of(port.name, port.protocol, allowed.endpoints) ?? [],
      copies: copiesOf(routed, allowed.vips, port.nodePort),
    }));
    this.#budget.set(name, { service: routed, balancing, lists });
  }

  #rebuild(name: string, parts: ServiceParts, { node, ownAddresses }: Surroundings): void {
    const entry = this.#entries.get(name);
    if (!entry) {
      this.#problems.clear(name);
      return;
    }
    const service = this.#routed(parts.service(name));
    if (!service) {
      this.#problems.clear(name);
      this.#replace(entry, []);
      this.#entries.delete(name);
      return;
    }
    const endpoints = parts.endpoints(name)?.ofFamily(this.family, node.name);
    const allowed = allowance(service, endpoints, entry.wanted);
    const mostEntries = this.#budget.mostEntries(name);
    const asked = parts.balancing(name);
    const balancing = mostEntries === undefined ? asked : { ...asked, mostEntries };
    const losses: Loss[] = [];
    const after = service.ports.map((port, portIndex) => {
      const asker = { service: name, created: service.created, portIndex, port };
      const served = servedAddresses(allowed.vips, asker, ownAddresses, this.#claims, this.#clusterIPs);
      for (const loss of served.losses) losses.push(loss);
      const all = endpoints?.of(port.name, port.protocol, allowed.endpoints) ?? [];
      return buildServicePort(
        service,
        port,
        this.family,
        { path: name, served, endpoints: all, balancing },
        node,
      );
    });
    const remarks = [entry.wanted.remarks, allowed.remarks, this.#budget.remarks(name)];
    this.#problems.set(name, losses, remarks.some(({ length }) => length > 0) ? remarks.flat() : NO_KEYS);
    this.#replace(entry, after);
  }

  #replace(entry: Entry, after: readonly ServicePort[]): void {
    const gone = goneKeys(entry.ports, after);
    const olds = after.map((port) => this.#servicePorts.get(port.key));
    const ports = after.map((port, i) => {
      const old = olds[i];
      return old && sameServicePort(old, port) ? old : port;
    });
    for (const [i, port] of ports.entries()) {
      if (olds[i] === port) continue;
      this.#note(port.key, olds[i]);
      this.#servicePorts.set(port.key, port);
    }
    for (const key of gone) {
      this.#note(key, this.#servicePorts.get(key));
      this.#servicePorts.delete(key);
    }
    entry.ports = ports;
  }

  #note(key: string, old: ServicePort | undefined): void {
    if (!this.#before.has(key)) this.#before.set(key, old);
  }
}

function goneKeys(before: readonly ServicePort[], after: readonly ServicePort[]): Iterable<string> {
  if (before.every((port, i) => port.key === after[i]?.key)) return NO_KEYS;
  const gone = new Set(before.map((port) => port.key));
  for (const port of after) gone.delete(port.key);
  return gone;
}
