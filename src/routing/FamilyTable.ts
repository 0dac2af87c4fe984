/** The routing table of one IP family. */
import type { IpFamily } from '../net/ip.js';
import { objectName } from '../objects/ApiObject.js';
import type { Problem } from '../objects/Problem.js';
import type { Service } from '../objects/Service.js';
import { buildServicePort, claimKeys, isRouted } from './buildServicePorts.js';
import type { ServicePortChange } from './ChangeSet.js';
import type { NodeFacts } from './NodeFacts.js';
import type { ServiceEndpoints } from './ServiceEndpoints.js';
import type { ServicePort } from './ServicePort.js';
import { sameServicePort } from './sameServicePort.js';
import { VipClaims } from './VipClaims.js';

/** What the table remembers of one Service. */
interface Entry {
  /** The claims of each port, by port index. */
  readonly claims: readonly (readonly string[])[];
  ports: readonly ServicePort[];
  problems: readonly Problem[];
}

export interface ServiceState {
  readonly service: Service | undefined;
  readonly endpoints: ServiceEndpoints | undefined;
}

export class FamilyTable {
  readonly family: IpFamily;
  readonly #proxyName: string;
  readonly #claims = new VipClaims();
  readonly #entries = new Map<string, Entry>();
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
    for (const entry of this.#entries.values()) yield* entry.problems;
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
    const routed = service && isRouted(service, this.family, this.#proxyName) ? service : undefined;
    const claims = routed?.ports.map((port) => claimKeys(routed, port, this.family)) ?? [];
    for (const key of entry?.claims.flat() ?? []) {
      this.#claims.remove(key, name);
      for (const other of this.#claims.claimants(key)) affected.add(other.service);
    }
    claims.forEach((keys, portIndex) => {
      for (const key of keys) {
        this.#claims.add(key, { service: name, created: service?.created, portIndex });
        for (const other of this.#claims.claimants(key)) affected.add(other.service);
      }
    });
    if (routed) this.#entries.set(name, { claims, ports: entry?.ports ?? [], problems: [] });
    else if (entry) this.#entries.set(name, { claims: [], ports: entry.ports, problems: [] });
  }

  #rebuild(name: string, state: ServiceState, node: NodeFacts, changes: ServicePortChange[]): void {
    const entry = this.#entries.get(name);
    if (!entry) return;
    const { service, endpoints } = state;
    const before = entry.ports;
    const routed = service && isRouted(service, this.family, this.#proxyName) ? service : undefined;
    entry.ports = (routed?.ports ?? []).map((port, index) =>
      buildServicePort(service as Service, port, this.family, endpoints, node, (key) =>
        this.#owns(key, name, index),
      ),
    );
    entry.problems = entry.claims.flatMap((keys, index) => this.#losses(name, keys, index));
    if (!routed) this.#entries.delete(name);

    const previous = new Map(before.map((port) => [port.key, port]));
    entry.ports = entry.ports.map((after) => {
      const old = previous.get(after.key);
      previous.delete(after.key);
      if (old && sameServicePort(old, after)) return old;
      this.#servicePorts.set(after.key, after);
      changes.push({ key: after.key, before: old, after });
      return after;
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

  #losses(service: string, keys: readonly string[], portIndex: number): Problem[] {
    const [namespace = '', name = ''] = service.split('/');
    return keys
      .filter((key) => !this.#owns(key, service, portIndex))
      .map((key) => {
        const winner =
          this.#claims.owner(key)?.service === service
            ? 'another port of it'
            : `Service ${this.#claims.owner(key)?.service}`;
        return {
          subject: objectName({ kind: 'Service', namespace, name }),
          message: `${key} already belongs to ${winner}; this claim is ignored until that one goes`,
        };
      });
  }
}
