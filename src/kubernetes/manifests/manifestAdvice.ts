/**
 * Mistakes that no single object shows: in a cluster the API server and its controllers keep Services and their slices in
 * agreement, in manifests a person does. Each of them costs traffic without a word otherwise.
 */
import { IP_FAMILIES } from '../../net/ip.js';
import type { ApiObject } from '../../objects/ApiObject.js';
import type { EndpointSlice } from '../../objects/EndpointSlice.js';
import { isAddressed } from '../../objects/isAddressed.js';
import type { Problem } from '../../objects/Problem.js';
import type { Service } from '../../objects/Service.js';

/** An object that a manifest holds and that counts. */
export interface InForce {
  readonly object: ApiObject;
  readonly path: string;
  /** File and, where known, line. */
  readonly where: string;
  /** What a slice was made of: `Endpoints shop/cart`. */
  readonly madeOf: string | undefined;
}

interface Placed<T> {
  readonly object: T;
  readonly where: string;
  readonly subject: string;
}

/** Slices of Endpoints go where the Service has EndpointSlices too: those say more, and both would count twice. */
export function dropEclipsed(objects: Map<string, InForce>, problems: Problem[]): void {
  const served = new Map<string, string>();
  for (const { object, madeOf } of objects.values())
    if (object.kind === 'EndpointSlice' && madeOf === undefined) served.set(ownerOf(object), object.name);
  const told = new Set<string>();
  for (const [key, { object, madeOf, where }] of objects) {
    if (object.kind !== 'EndpointSlice' || madeOf === undefined) continue;
    const slice = served.get(ownerOf(object));
    if (slice === undefined) continue;
    objects.delete(key);
    if (told.has(madeOf)) continue;
    told.add(madeOf);
    const message = `is left out: EndpointSlice ${object.namespace}/${slice} is for the same Service, and EndpointSlices win`;
    problems.push({ subject: madeOf, message, where });
  }
}

export function* adviceOn(objects: ReadonlyMap<string, InForce>): Generator<Problem> {
  const services = new Map<string, Placed<Service>>();
  /** Namespaces of the Services of a name. */
  const namespaces = new Map<string, string[]>();
  const slices = new Map<string, Placed<EndpointSlice>[]>();
  for (const [key, { object, where, madeOf }] of objects) {
    if (object.kind === 'Service') {
      services.set(`${object.namespace}/${object.name}`, { object, where, subject: key });
      push(namespaces, object.name, object.namespace);
    } else if (object.kind === 'EndpointSlice') {
      push(slices, ownerOf(object), { object, where, subject: madeOf ?? key });
    }
  }
  for (const [path, service] of services) yield* ofService(service, slices.get(path) ?? []);
  for (const [owner, list] of slices) {
    if (services.has(owner)) continue;
    for (const slice of list) yield orphan(slice, namespaces.get(slice.object.serviceName) ?? []);
  }
}

function* ofService(
  { object: service, where, subject }: Placed<Service>,
  slices: readonly Placed<EndpointSlice>[],
): Generator<Problem> {
  if (service.headless || service.type === 'ExternalName' || service.proxyName !== undefined) return;
  // Who asks for an address out of a pool is told by whoever gives them (PooledSource).
  if (!service.addressRequest && !IP_FAMILIES.some((family) => isAddressed(service, family))) {
    const message =
      'has no address to be reached at and is not served; give it one of spec.clusterIP, spec.externalIPs, a nodePort, or ' +
      'status.loadBalancer.ingress';
    yield { subject, message, where };
  }
  const isForNodes = service.type === 'NodePort' || service.type === 'LoadBalancer';
  for (const [i, port] of service.ports.entries()) {
    if (service.type === 'NodePort' && port.nodePort === 0) {
      const message = `spec.ports[${i}] has no nodePort, which nobody chooses here: no node port is open for it`;
      yield { subject, message, where };
    }
    if (!isForNodes && port.nodePort !== 0) {
      const message = `spec.ports[${i}].nodePort is ${port.nodePort}, but spec.type is ClusterIP; the API server would refuse it`;
      yield { subject, message, where, severity: 'note' };
    }
  }
  yield* ofPorts(service, slices, where, subject);
}

/** A port without endpoints refuses connections; where the slices have ports of other names, that is not what was meant. */
function* ofPorts(
  service: Service,
  slices: readonly Placed<EndpointSlice>[],
  where: string,
  subject: string,
): Generator<Problem> {
  // Nobody serves yet, which is no mistake of names.
  if (slices.length === 0) return;
  const offered = new Set(
    slices.flatMap(({ object }) => object.ports.map(({ name, protocol }) => `${protocol} ${name}`)),
  );
  const wanted = new Set(service.ports.map(({ name, protocol }) => `${protocol} ${name}`));
  const spare = [...offered].filter((port) => !wanted.has(port));
  for (const { name, protocol } of service.ports) {
    if (offered.has(`${protocol} ${name}`)) continue;
    const others =
      spare.length === 0
        ? 'none of the kind'
        : spare
            .slice(0, 5)
            .map((port) => shown(port))
            .join(', ');
    const message =
      `port ${shown(`${protocol} ${name}`)} has no endpoints: its slices have ${others}. ` +
      'The names of the ports must be equal in both';
    yield { subject, message, where };
  }
}

function shown(port: string): string {
  const [protocol = '', name = ''] = port.split(' ');
  return `${name === '' ? '"" (no name)' : JSON.stringify(name)} (${protocol})`.replace(') (', ', ');
}

function orphan({ object, where, subject }: Placed<EndpointSlice>, elsewhere: readonly string[]): Problem {
  const owner = ownerOf(object);
  const [namespace] = elsewhere;
  const hint =
    namespace === undefined
      ? ''
      : `; there is a Service ${namespace}/${object.serviceName}: a slice must be in the namespace of its Service`;
  return { subject, message: `belongs to Service ${owner}, which is not there${hint}`, where };
}

function ownerOf(slice: EndpointSlice): string {
  return `${slice.namespace}/${slice.serviceName}`;
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const known = map.get(key);
  if (known) known.push(value);
  else map.set(key, [value]);
}
