/**
 * Mistakes that no single object shows: in a cluster the API server and its controllers keep Services and their slices in
 * agreement, in manifests a person does. Each of them costs traffic without a word otherwise.
 */
import { IP_FAMILIES } from '../../net/ip.js';
import { nearestName } from '../../net/nearestName.js';
import { printable } from '../../net/printable.js';
import type { EndpointSlice } from '../../objects/EndpointSlice.js';
import { isAddressed } from '../../objects/isAddressed.js';
import { OPTION_NAMES } from '../../objects/optionNames.js';
import type { Problem } from '../../objects/Problem.js';
import type { Service } from '../../objects/Service.js';

/** An object that a manifest holds and that counts. */
interface Placed<T> {
  readonly object: T;
  /** File and, where known, line. */
  readonly where: string;
  readonly subject: string;
}

/** What is wrong with a Service and its slices. `elsewhere`: namespaces of other Services of the name. */
export function* adviceOn(
  service: Placed<Service> | undefined,
  slices: readonly Placed<EndpointSlice>[],
  elsewhere: (name: string) => readonly string[],
): Generator<Problem> {
  if (service) yield* ofService(service, slices);
  else for (const slice of slices) yield orphan(slice, elsewhere(slice.object.serviceName));
}

function* ofService(
  { object: service, where, subject }: Placed<Service>,
  slices: readonly Placed<EndpointSlice>[],
): Generator<Problem> {
  for (const name of Object.keys(service.options))
    if (!isRead(name)) yield { subject, message: unknownOption(name), where };
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

/** Of those of health checks, who reads them says more. */
function isRead(name: string): boolean {
  return OPTION_NAMES.includes(name) || name.startsWith('health-check');
}

/** The API server takes every annotation; nobody else says that one has no effect. */
function unknownOption(name: string): string {
  const near = nearestName(name, OPTION_NAMES);
  const hint = near === undefined ? '' : `; did you mean penstock.io/${near}?`;
  return `metadata.annotations[penstock.io/${shortened(name)}] is none that penstock reads${hint}`;
}

function shortened(name: string): string {
  const MOST = 63;
  return printable(name.length <= MOST ? name : `${name.slice(0, MOST)}...`);
}

function orphan({ object, where, subject }: Placed<EndpointSlice>, elsewhere: readonly string[]): Problem {
  const owner = `${object.namespace}/${object.serviceName}`;
  const [namespace] = elsewhere;
  const hint =
    namespace === undefined
      ? ''
      : `; there is a Service ${namespace}/${object.serviceName}: a slice must be in the namespace of its Service`;
  return { subject, message: `belongs to Service ${owner}, which is not there${hint}`, where };
}
