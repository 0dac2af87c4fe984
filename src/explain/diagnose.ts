/** Why nobody can serve, and why an address is no Service's: what an operator would look for next, from the objects alone. */
import type { IpFamily } from '../net/ip.js';
import type { EndpointSlice } from '../objects/EndpointSlice.js';
import { type Candidate, isServed, kindsOf, nameOf, pathOf, vipsOf } from './claims.js';
import { endpointSets } from './endpoints.js';
import { type Flow, familyOfFlow, type World } from './World.js';

/** Sentences; the first is the cause that is nearest. */
export function whyNoEndpoints(
  world: World,
  { service, port }: Candidate,
  family: IpFamily,
): readonly string[] {
  const sets = endpointSets(world, service, port, family);
  if (sets.all.length > 0) {
    const leaving = sets.all.filter((e) => e.terminating).length;
    const unready = sets.all.length - leaving;
    const parts = [
      ...(unready > 0 ? [`${count(unready, 'endpoint is', 'endpoints are')} not ready`] : []),
      ...(leaving > 0 ? [`${count(leaving, 'endpoint is', 'endpoints are')} terminating`] : []),
    ];
    return [
      `${parts.join(', ')}: ${sets.all
        .map((e) => e.podName ?? e.target)
        .slice(0, 5)
        .join(', ')}`,
    ];
  }
  const named = world.slices.filter((s) => s.serviceName === service.name);
  const own = named.filter((s) => s.namespace === service.namespace);
  if (own.length === 0) {
    const elsewhere = named.map((s) => `${s.namespace}/${s.name}`);
    return elsewhere.length > 0
      ? [
          `there is no EndpointSlice in namespace ${service.namespace}; EndpointSlice ${elsewhere[0]} names a Service ${service.name} of another namespace`,
        ]
      : ['there is no EndpointSlice: the selector matches no pod, or the Service has none'];
  }
  const ofFamily = own.filter((s) => s.family === family);
  if (ofFamily.length === 0)
    return [`its EndpointSlices are ${own[0]?.family} only, the connection is ${family}`];
  return [whyNoPort(ofFamily, { service, port })];
}

function whyNoPort(slices: readonly EndpointSlice[], { port }: Candidate): string {
  const ports = slices.flatMap((s) => s.ports);
  const sameName = ports.find((p) => p.name === port.name);
  if (sameName && sameName.protocol !== port.protocol) {
    return `its EndpointSlices have port ${quoted(port.name)} as ${sameName.protocol}, the Service as ${port.protocol}`;
  }
  if (!sameName && ports.length > 0) {
    const names = [...new Set(ports.map((p) => quoted(p.name)))].join(', ');
    return `its EndpointSlices name the port ${names}, the Service names it ${quoted(port.name)}`;
  }
  if (ports.length === 0)
    return `its EndpointSlices have no port ${quoted(port.name)}: no container has the target port`;
  return 'its EndpointSlices list no endpoint: the selector matches no pod';
}

/** What is known of an address and port that no Service serves; `mode` words are left to the caller. */
export function whyNoService(world: World, flow: Flow): readonly string[] {
  const family = familyOfFlow(flow);
  const { destination, port, protocol } = flow;
  const notes: string[] = [];
  for (const service of world.services) {
    const isVip = vipsOf(world, service, family).includes(destination);
    const path = pathOf(service);
    if (isVip && isServed(world, service, family)) {
      const ports = service.ports.map((p) => `${p.port}/${p.protocol}${p.name === '' ? '' : ` (${p.name})`}`);
      notes.push(
        `Service ${path} has this address as ${kindsOf(world, service, family, destination).join(' and ')}, with ports ${ports.join(', ')}`,
      );
    } else if (isVip) {
      notes.push(
        `Service ${path} asks for this address and is not served: ${whyNotServed(world, service, family)}`,
      );
    } else if (service.loadBalancerIngress.some((i) => i.ip === destination && i.ipMode === 'Proxy')) {
      notes.push(
        `Service ${path} has this load-balancer IP with ipMode Proxy: the load balancer itself must see the packet`,
      );
    }
    for (const p of service.ports) {
      if (p.nodePort !== 0 && p.nodePort === port && p.protocol !== protocol) {
        notes.push(
          `${nameOf({ service, port: p })} has node port ${port} for ${p.protocol}, not ${protocol}`,
        );
      }
    }
  }
  const slice = world.slices.find((s) => s.endpoints.some((e) => e.address === destination));
  if (slice)
    notes.push(
      `it is the address of an endpoint of ${slice.namespace}/${slice.serviceName}: nothing is translated`,
    );
  return notes.slice(0, 8);
}

function whyNotServed(world: World, service: Candidate['service'], family: IpFamily): string {
  if (service.headless) return 'it is headless (clusterIP: None)';
  if (service.type === 'ExternalName') return 'it is of type ExternalName';
  const label = service.proxyName ?? '';
  if (label !== (world.serviceProxyName ?? '')) {
    return label === ''
      ? 'it has no label service.kubernetes.io/service-proxy-name'
      : `its label service-proxy-name gives it to ${label}`;
  }
  return `it has no cluster IP of ${family}`;
}

function quoted(name: string): string {
  return name === '' ? '"" (no name)' : JSON.stringify(name);
}

function count(n: number, one: string, many: string): string {
  return `${n} ${n === 1 ? one : many}`;
}
