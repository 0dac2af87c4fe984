/**
 * A folder of manifests whose Services of type LoadBalancer get an address out of the folder's pools, where they name none. In a cluster
 * `penstock allocator` does that.
 */
import { addressesWithoutState } from '../../balancer/addresses/addressesWithoutState.js';
import { AnnouncementObjects } from '../../balancer/announce/AnnouncementObjects.js';
import type { ObjectSource, SourceListener } from '../../kubernetes/ObjectSource.js';
import { IP_FAMILIES, type IpAddress } from '../../net/ip.js';
import { type ObjectChange, objectName, objectPath } from '../../objects/ApiObject.js';
import { isAddressed } from '../../objects/isAddressed.js';
import type { Node } from '../../objects/Node.js';
import { boundedProblems, type Problem } from '../../objects/Problem.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import type { Service } from '../../objects/Service.js';

export class PooledSource implements ObjectSource {
  readonly name: string;
  readonly #source: ObjectSource;
  readonly #services = new Map<string, Service>();
  readonly #nodes = new Map<string, Node>();
  readonly #pools = new AnnouncementObjects();
  /** What was given, by `namespace/name`. */
  #given: ReadonlyMap<string, readonly IpAddress[]> = new Map();
  #sourceProblems: readonly Problem[] = [];
  #own: readonly Problem[] = [];
  #listener: SourceListener | undefined;

  constructor(source: ObjectSource) {
    this.name = source.name;
    this.#source = source;
  }

  start(listener: SourceListener): Promise<void> {
    this.#listener = listener;
    return this.#source.start({
      changes: (batch) => this.#take(batch),
      others: (list) => {
        // Whoever announces says what is wrong with the rest.
        this.#pools.replace(list.filter(({ raw }) => isRawObject(raw) && raw.kind === 'IPAddressPool'));
        this.#give([]);
        listener.others?.(list);
      },
      complete: () => listener.complete(),
      problems: (list) => {
        this.#sourceProblems = list;
        this.#tellProblems();
      },
    });
  }

  async stop(): Promise<void> {
    this.#listener = undefined;
    await this.#source.stop();
  }

  #take(batch: readonly ObjectChange[]): void {
    let decides = false;
    for (const change of batch) {
      const { kind } = change.type === 'delete' ? change.ref : change.object;
      // Most changes are of endpoints, and each decision looks at every Service.
      decides ||= kind === 'Service' || (kind === 'Node' && this.#pools.pools.length > 0);
      if (change.type === 'delete') {
        if (change.ref.kind === 'Service') this.#services.delete(objectPath(change.ref));
        if (change.ref.kind === 'Node') this.#nodes.delete(change.ref.name);
      } else if (change.object.kind === 'Service') {
        this.#services.set(objectPath(change.object), change.object);
      } else if (change.object.kind === 'Node') this.#nodes.set(change.object.name, change.object);
    }
    if (decides) this.#give(batch);
    else this.#listener?.changes(batch);
  }

  /** Delivers the batch with the addresses that its Services get, and the other Services whose addresses are others now. */
  #give(batch: readonly ObjectChange[]): void {
    const before = this.#given;
    this.#decide();
    if (before.size === 0 && this.#given.size === 0) {
      if (batch.length > 0) this.#listener?.changes(batch);
      this.#tellProblems();
      return;
    }
    const delivered = new Set<string>();
    const changes = batch.map((change): ObjectChange => {
      if (change.type === 'delete' || change.object.kind !== 'Service') return change;
      delivered.add(objectPath(change.object));
      return { type: 'upsert', object: this.#addressed(change.object) };
    });
    for (const [path, service] of this.#services) {
      if (delivered.has(path) || same(before.get(path), this.#given.get(path))) continue;
      changes.push({ type: 'upsert', object: this.#addressed(service) });
    }
    if (changes.length > 0) this.#listener?.changes(changes);
    this.#tellProblems();
  }

  #decide(): void {
    const given = new Map<string, readonly IpAddress[]>();
    const own: Problem[] = [];
    const asking: Service[] = [];
    for (const service of this.#services.values()) if (service.addressRequest) asking.push(service);
    if (this.#pools.pools.length === 0) {
      for (const service of asking)
        if (!IP_FAMILIES.some((family) => isAddressed(service, family)))
          own.push({ subject: objectName(service), message: NO_ADDRESS });
    } else if (asking.length > 0) {
      const owners = this.#owners();
      const decisions = addressesWithoutState(this.#services.values(), this.#pools.pools, (ip) =>
        owners.get(ip),
      );
      for (const [path, decision] of decisions) {
        if (decision.type === 'assigned') given.set(path, decision.addresses);
        else own.push({ subject: `Service ${path}`, message: `it gets no address: ${decision.why}` });
      }
    }
    this.#given = given;
    this.#own = own;
  }

  /** Of cluster IPs, external IPs and the nodes themselves. */
  #owners(): ReadonlyMap<IpAddress, string> {
    const owners = new Map<IpAddress, string>();
    for (const service of this.#services.values()) {
      for (const ip of service.externalIPs) owners.set(ip, `the external IPs of ${objectPath(service)}`);
      for (const ip of Object.values(service.clusterIPs))
        owners.set(ip, `the cluster IP of ${objectPath(service)}`);
    }
    for (const node of this.#nodes.values())
      for (const ip of node.addresses) owners.set(ip, objectName({ kind: 'node', name: node.name }));
    return owners;
  }

  #addressed(service: Service): Service {
    const given = this.#given.get(objectPath(service));
    if (given === undefined) return service;
    return { ...service, loadBalancerIngress: given.map((ip) => ({ ip, ipMode: 'VIP' })) };
  }

  #tellProblems(): void {
    this.#listener?.problems(
      boundedProblems([...this.#sourceProblems, ...this.#pools.problems(), ...this.#own], this.name),
    );
  }
}

const NO_ADDRESS =
  'has no address to be reached at and is not served; give it one with the annotation penstock.io/load-balancer-ips, or give the folder an IPAddressPool';

function same(a: readonly IpAddress[] | undefined, b: readonly IpAddress[] | undefined): boolean {
  return a?.join() === b?.join();
}
