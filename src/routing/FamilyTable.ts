/** The routing table of one IP family. */
import type { IpFamily } from '../net/ip.js';
import { objectName } from '../objects/ApiObject.js';
import type { Problem } from '../objects/Problem.js';
import type { Service } from '../objects/Service.js';
import { buildServicePort, claimKeys, isRouted, type ServiceExtras } from './buildServicePorts.js';
import type { ServicePortChange } from './ChangeSet.js';
import type { NodeFacts } from './NodeFacts.js';
import type { ServicePort } from './ServicePort.js';
import { sameServicePort } from './sameServicePort.js';
import { VipClaims } from './VipClaims.js';

/** What the table remembers of one Service. */
interface Entry {
  /** The claims of each port, by port index. */
  readonly claims: readonly (readonly string[])[];
  ports: readonly ServicePort[];
}

export interface ServiceState extends ServiceExtras {
  readonly service: Service | undefined;
}

export class FamilyTable {
  readonly family: IpFamily;
  readonly #proxyName: string;
  readonly #claims = new VipClaims();
  readonly #entries = new Map<string, Entry>();
  /** By Service; only those that have some, because they are asked for after every commit. */
  readonly #problems = new Map<string, readonly Problem[]>();
  readonly #servicePorts = new Map<string, ServicePort>();

  constructor(family: IpFamily, proxyName: string) {
    this.family = family;
    this.#proxyName = proxyName;
  }

  /** By ServicePort.key. */
  get servicePorts(): ReadonlyMap<string, ServicePort> {
    return this.#servicePorts;
  }

  /** The Services that lost an address or port to an older one. */
  *problems(): Iterable<Problem> {
    for (const problems of this.#problems.values()) yield* problems;
  }

  /**
   * Brings the given Services up to date, and those that share an address with them. `respecified` are the dirty
   * Services whose Service object changed; the others of `dirty` had only endpoint changes.
   * Costs are those of the Services involved, not of the table.
   */
  update(
    dirty: ReadonlySet<string>,
    respecified: ReadonlySet<string>,
    stateOf: (service: string) => ServiceState,
    node: NodeFacts,
  ): ServicePortChange[] {
    const affected = new Set(dirty);
    for (const name of respecified) this.#reclaim(name, stateOf(name).service, affected);
    const changes: ServicePortChange[] = [];
    for (const name of affected) this.#rebuild(name, stateOf(name), node, changes);
    return changes;
  }

  /** Replaces the claims of a Service and adds everybody who shares one of them to `affected`. */
  #reclaim(name: string, service: Service | undefined, affected: Set<string>): void {
    const entry = this.#entries.get(name);
    const routed = this.#routed(service);
    if (!routed && !entry) return;
    for (const keys of entry?.claims ?? []) {
      for (const key of keys) {
        this.#claims.remove(key, name);
        this.#addClaimants(key, affected);
      }
    }
    const claims = routed?.ports.map((port) => claimKeys(routed, port, this.family)) ?? [];
    for (const [portIndex, keys] of claims.entries()) {
      for (const key of keys) {
        this.#claims.add(key, { service: name, created: service?.created, portIndex });
        this.#addClaimants(key, affected);
      }
    }
    this.#entries.set(name, { claims, ports: entry?.ports ?? [] });
  }

  #addClaimants(key: string, affected: Set<string>): void {
    for (const { service } of this.#claims.claimants(key)) affected.add(service);
  }

  #routed(service: Service | undefined): Service | undefined {
    return service && isRouted(service, this.family, this.#proxyName) ? service : undefined;
  }

  #rebuild(name: string, state: ServiceState, node: NodeFacts, changes: ServicePortChange[]): void {
    const entry = this.#entries.get(name);
    if (!entry) return;
    const service = this.#routed(state.service);
    const before = entry.ports;
    const problems: Problem[] = [];
    const after = service?.ports.map((port, index) => {
      const lost = (entry.claims[index] ?? []).filter((key) => !this.#owns(key, name, index));
      if (lost.length > 0) problems.push(...this.#losses(name, lost));
      const owns = (key: string) => lost.length === 0 || !lost.includes(key);
      return buildServicePort(service, port, this.family, state, node, owns);
    });
    if (!service) this.#entries.delete(name);
    if (problems.length > 0) this.#problems.set(name, problems);
    else this.#problems.delete(name);

    const previous = new Map(before.map((port) => [port.key, port]));
    entry.ports = (after ?? []).map((port) => {
      const old = previous.get(port.key);
      previous.delete(port.key);
      if (old && sameServicePort(old, port)) return old;
      this.#servicePorts.set(port.key, port);
      changes.push({ key: port.key, before: old, after: port });
      return port;
    });
    for (const [key, gone] of previous) {
      this.#servicePorts.delete(key);
      changes.push({ key, before: gone, after: undefined });
    }
  }

  #owns(key: string, service: string, portIndex: number): boolean {
    const owner = this.#claims.owner(key);
    return owner?.service === service && owner.portIndex === portIndex;
  }

  #losses(service: string, lost: readonly string[]): Problem[] {
    const [namespace = '', name = ''] = service.split('/');
    const subject = objectName({ kind: 'Service', namespace, name });
    return lost.map((key) => {
      const owner = this.#claims.owner(key)?.service;
      const winner = owner === service ? 'another port of it' : `Service ${owner}`;
      return {
        subject,
        message: `${key} already belongs to ${winner}; this claim is ignored until that one goes`,
      };
    });
  }
}
