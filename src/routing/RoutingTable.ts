/**
 * Services + EndpointSlices + node facts → the service ports of each IP family, with the endpoints that may serve
 * them; beside them the ranges of the ServiceCIDRs. Pure: no I/O, no clock. Changes are taken with apply() and become
 * visible with commit(), which costs as much as the Services that changed, whatever the size of the table.
 */

import type { Algorithm } from '../balancing/Balancing.js';
import { type Cidr, familyOf, IP_FAMILIES, type IpAddress, type IpFamily } from '../net/ip.js';
import {
  type ApiObject,
  type ObjectChange,
  type ObjectRef,
  objectPath,
  ownerPath,
} from '../objects/ApiObject.js';
import type { EndpointSlice } from '../objects/EndpointSlice.js';
import type { Node } from '../objects/Node.js';
import { boundedProblems, type Problem } from '../objects/Problem.js';
import type { Service } from '../objects/Service.js';
import { isRouted } from './build/buildServicePort.js';
import { ServiceBalancing } from './build/ServiceBalancing.js';
import { ServiceEndpoints } from './build/ServiceEndpoints.js';
import type { ChangeSet } from './ChangeSet.js';
import { FamilyTable, type ServiceParts } from './FamilyTable.js';
import type { NodeFacts } from './NodeFacts.js';
import { ServiceCidrs } from './ServiceCidrs.js';
import type { ServicePort } from './ServicePort.js';

export interface RoutingOptions {
  readonly nodeName: string;
  /** Only Services with this value of the label service.kubernetes.io/service-proxy-name; '' for those without it. */
  readonly serviceProxyName: string;
  /** Addresses of this node that hold until the Node object says otherwise. */
  readonly fallbackAddresses: NodeFacts['addresses'];
  /** Addresses of this node that hold whatever the Node object says (bindAddress). */
  readonly fixedAddresses: NodeFacts['addresses'];
  /** `ignored`: externalIPs of Services are not served (feature gate AllowServiceExternalIPs). Default `served`. */
  readonly externalIPs?: 'served' | 'ignored';
  /** Of Services that name none. Default `random`. */
  readonly algorithm?: Algorithm;
}

const NO_RANGES: readonly Cidr[] = [];
/** Of more changes in one sync the times are not kept: they would say nothing that these do not. */
const MOST_TRIGGER_TIMES = 10_000;

export class RoutingTable {
  readonly #options: RoutingOptions;
  readonly #services = new Map<string, Service>();
  readonly #endpoints = new Map<string, ServiceEndpoints>();
  /** Which Service a slice belonged to, by `namespace/name` of the slice: its label may change. */
  readonly #sliceOwners = new Map<string, string>();
  readonly #balancing: ServiceBalancing;
  readonly #serviceCIDRs = new ServiceCidrs();
  readonly #tables: Readonly<Record<IpFamily, FamilyTable>>;
  readonly #parts: ServiceParts = {
    service: (path) => this.#services.get(path),
    endpoints: (path) => this.#endpoints.get(path),
    balancing: (path) => this.#balancing.of(path),
  };
  readonly #dirty = new Set<string>();
  /** Those of them whose claims on addresses may be others. */
  readonly #respecified = new Set<string>();
  #triggerTimes: number[] = [];
  #generation = 0;
  #fallbackAddresses: NodeFacts['addresses'];
  #node: NodeFacts;
  /** Every address that this node is known to have. */
  #ownAddresses: ReadonlySet<IpAddress>;
  #nodeObject: Node | undefined;

  constructor(options: RoutingOptions) {
    this.#options = options;
    this.#balancing = new ServiceBalancing(options.algorithm ?? 'random');
    this.#fallbackAddresses = options.fallbackAddresses;
    this.#node = this.#nodeFacts();
    this.#ownAddresses = this.#addressesOf(this.#node);
    this.#tables = {
      IPv4: new FamilyTable('IPv4', options.serviceProxyName),
      IPv6: new FamilyTable('IPv6', options.serviceProxyName),
    };
  }

  /** Another number whenever anything that can be read here may be another. */
  get generation(): number {
    return this.#generation;
  }

  /** This node, as routing sees it since the last apply(). */
  get node(): NodeFacts {
    return this.#node;
  }

  /** The host's own addresses are others. They take effect with commit(), unless the Node object names addresses. */
  setFallbackAddresses(addresses: NodeFacts['addresses']): void {
    this.#fallbackAddresses = addresses;
    this.#generation++;
    this.#updateNode();
  }

  /** The Node object of this node, once it was delivered. */
  get nodeObject(): Node | undefined {
    return this.#nodeObject;
  }

  /** The committed service ports of a family, by ServicePort.key. */
  servicePorts(family: IpFamily): ReadonlyMap<string, ServicePort> {
    return this.#tables[family].servicePorts;
  }

  /**
   * The committed ranges that cluster IPs of a family are taken from: sorted, each once; one may lie within another.
   * It is the same array until they change, so comparing it with `===` tells whether they did. No change set does.
   * None with a serviceProxyName: what we do not serve there is another proxy's.
   */
  serviceCIDRs(family: IpFamily): readonly Cidr[] {
    return this.#options.serviceProxyName === '' ? this.#serviceCIDRs.of(family) : NO_RANGES;
  }

  /** Every Service that was applied, also those that are not served. */
  get services(): Iterable<Service> {
    return this.#services.values();
  }

  /** As applied; `path` is `namespace/name`. */
  service(path: string): Service | undefined {
    return this.#services.get(path);
  }

  /** As applied: those of the Service `namespace/name`. */
  slicesOf(path: string): Iterable<EndpointSlice> {
    return this.#endpoints.get(path)?.slices ?? [];
  }

  /** Every EndpointSlice that was applied. */
  *slices(): Iterable<EndpointSlice> {
    for (const endpoints of this.#endpoints.values()) yield* endpoints.slices;
  }

  /** As of the last commit: Services that lost an address or port to an older one, and annotations that are wrong. */
  problems(): readonly Problem[] {
    return boundedProblems(this.#problems(), 'Services');
  }

  /** As of the last commit: who has the ports of the address that the Service `path` asked for and did not get. */
  lossesOf(path: string, address: IpAddress): readonly string[] {
    return this.#tables[familyOf(address)].lossesOf(path, address);
  }

  /** Whether commit() has anything to look at. */
  get hasPendingChanges(): boolean {
    return this.#dirty.size > 0 || this.#serviceCIDRs.hasPendingChanges;
  }

  apply(changes: readonly ObjectChange[]): void {
    if (changes.length > 0) this.#generation++;
    for (const change of changes) {
      if (change.type === 'upsert') this.#upsert(change.object);
      else this.#delete(change.ref);
    }
  }

  /** Brings both family tables up to date and says what changed since the last commit that did not throw. */
  commit(): ChangeSet {
    if (this.hasPendingChanges) this.#generation++;
    if (this.#serviceCIDRs.commit()) this.#respecifyExternalIPs();
    const unread: string[] = [];
    for (const name of this.#respecified) if (!this.#readBalancing(name)) unread.push(name);
    for (const family of IP_FAMILIES) {
      this.#tables[family].update(this.#dirty, this.#respecified, this.#parts, {
        node: this.#node,
        ownAddresses: this.#ownAddresses,
        ranges: this.#serviceCIDRs.of(family),
      });
    }
    // Only now: had one family failed, the other's changes would be told by the next commit.
    const changes: ChangeSet = {
      families: { IPv4: this.#tables.IPv4.collect(), IPv6: this.#tables.IPv6.collect() },
      triggerTimes: this.#triggerTimes,
    };
    this.#dirty.clear();
    this.#respecified.clear();
    this.#triggerTimes = [];
    for (const name of unread) this.#markService(name);
    return changes;
  }

  *#problems(): Generator<Problem> {
    for (const family of IP_FAMILIES) yield* this.#tables[family].problems();
    yield* this.#balancing.problems();
  }

  /** Answers false when that failed; the family tables, where it fails too, name the Service. */
  #readBalancing(name: string): boolean {
    try {
      this.#balancing.update(name, this.#routedService(name));
      return true;
    } catch {
      return false;
    }
  }

  /** External IPs inside of a ServiceCIDR are not served. */
  #respecifyExternalIPs(): void {
    for (const [path, service] of this.#services) if (service.externalIPs.length > 0) this.#markService(path);
  }

  #upsert(object: ApiObject): void {
    if (object.kind === 'Service') this.#setService(object);
    else if (object.kind === 'EndpointSlice') this.#setSlice(object);
    else if (object.kind === 'ServiceCIDR') this.#serviceCIDRs.set(object);
    else if (object.name === this.#options.nodeName) this.#setNode(object);
  }

  #delete(ref: ObjectRef): void {
    const path = objectPath(ref);
    if (ref.kind === 'Service' && this.#services.delete(path)) this.#markService(path);
    else if (ref.kind === 'EndpointSlice') this.#deleteSlice(path, ref.name);
    else if (ref.kind === 'ServiceCIDR') this.#serviceCIDRs.delete(ref.name);
    // A Node that goes keeps its last facts, as in kube-proxy: its labels are still true of this machine.
  }

  /** Undefined when it is gone or not for this proxy: nobody wants to hear of its annotations. */
  #routedService(path: string): Service | undefined {
    const service = this.#services.get(path);
    const proxyName = this.#options.serviceProxyName;
    const routed = service && IP_FAMILIES.some((family) => isRouted(service, family, proxyName));
    return routed ? service : undefined;
  }

  #setService(service: Service): void {
    const path = objectPath(service);
    this.#services.set(
      path,
      this.#options.externalIPs === 'ignored' ? { ...service, externalIPs: [] } : service,
    );
    this.#markService(path);
  }

  #markService(path: string): void {
    this.#dirty.add(path);
    this.#respecified.add(path);
  }

  #setSlice(slice: EndpointSlice): void {
    const path = objectPath(slice);
    const owner = ownerPath(slice);
    if (this.#sliceOwners.get(path) !== owner) this.#deleteSlice(path, slice.name);
    this.#sliceOwners.set(path, owner);
    const endpoints = this.#endpoints.get(owner) ?? new ServiceEndpoints();
    endpoints.set(slice);
    this.#endpoints.set(owner, endpoints);
    this.#dirty.add(owner);
    if (slice.triggerTime !== undefined && this.#triggerTimes.length < MOST_TRIGGER_TIMES)
      this.#triggerTimes.push(slice.triggerTime);
  }

  #deleteSlice(path: string, name: string): void {
    const owner = this.#sliceOwners.get(path);
    if (owner === undefined) return;
    this.#sliceOwners.delete(path);
    const endpoints = this.#endpoints.get(owner);
    endpoints?.delete(name);
    if (endpoints?.empty) this.#endpoints.delete(owner);
    this.#dirty.add(owner);
  }

  #setNode(node: Node): void {
    this.#nodeObject = node;
    this.#updateNode();
  }

  /** A new zone or address can change every service port. */
  #updateNode(): void {
    const facts = this.#nodeFacts();
    const own = this.#addressesOf(facts);
    const sameOwn =
      own.size === this.#ownAddresses.size && [...own].every((ip) => this.#ownAddresses.has(ip));
    const same =
      facts.zone === this.#node.zone &&
      IP_FAMILIES.every((f) => facts.addresses[f] === this.#node.addresses[f]);
    if (same && sameOwn) return;
    this.#node = facts;
    this.#ownAddresses = own;
    for (const path of this.#services.keys()) {
      this.#dirty.add(path);
      if (!sameOwn) this.#respecified.add(path);
    }
  }

  #addressesOf({ addresses }: NodeFacts): ReadonlySet<IpAddress> {
    return new Set([...Object.values(addresses), ...(this.#nodeObject?.addresses ?? [])]);
  }

  #nodeFacts(): NodeFacts {
    const { nodeName, fixedAddresses } = this.#options;
    const node = this.#nodeObject;
    const addresses: Partial<Record<IpFamily, IpAddress>> = { ...this.#fallbackAddresses };
    for (const family of IP_FAMILIES) {
      const ip = fixedAddresses[family] ?? node?.addresses.find((a) => familyOf(a) === family);
      if (ip !== undefined) addresses[family] = ip;
    }
    return { name: nodeName, zone: node?.zone ?? '', addresses };
  }
}
