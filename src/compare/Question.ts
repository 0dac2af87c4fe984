/** What a comparison asks: may this kind of client reach that address and port, and whom does it reach there? */
import { loadBalancerIPs } from '../explain/claims.js';
import { endpointSets } from '../explain/endpoints.js';
import type { Rules, World } from '../explain/World.js';
import type { Cidr, IpAddress, IpFamily } from '../net/ip.js';
import { cidrContains, parseCidr, parseIp } from '../net/ip.js';
import type { Protocol, Service, ServicePortSpec } from '../objects/Service.js';
import { type Client, Clients } from './clients.js';
import type { PacketFlow } from './Packet.js';

/** An address and port that somebody asks for. */
export interface Place {
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: Protocol;
}

export interface Question {
  /** `shop/cart:http`; what the rules say of it when no Service has the place. */
  readonly name: string;
  readonly place: Place;
  /** `cluster IP`, `node port` …; '' when no Service has the place. */
  readonly what: string;
  readonly client: Client;
  readonly flow: PacketFlow;
}

const ON_LOCALHOST = 'node port on localhost';
const LOCALHOST: Client = {
  kind: 'this node over localhost',
  origin: 'node',
  source: '127.0.0.1' as IpAddress,
  interface: '',
};

/** Every place of every Service, for every kind of client. */
export function questionsOf(world: World, rules: Rules, families: readonly IpFamily[]): Question[] {
  const questions: Question[] = [];
  const clients = new Clients(world, rules);
  for (const service of world.services) {
    if (!isServed(world, service)) continue;
    for (const port of service.ports) {
      for (const family of families) {
        if (service.clusterIPs[family] === undefined) continue;
        for (const { address, number, what } of placesOf(world, rules, service, port, family)) {
          const place = { address, port: number, protocol: port.protocol };
          const name = nameOf(service, port);
          const itself = hairpins(world, service, port, family);
          const asking =
            what === ON_LOCALHOST
              ? [LOCALHOST]
              : clients.of(family, rangesOf(service, what), itself, address);
          for (const client of asking) {
            questions.push({ name, place, what, client, flow: flowOf(client, place) });
          }
        }
      }
    }
  }
  return questions;
}

export function nameOf(service: Service, port: ServicePortSpec): string {
  const path = `${service.namespace}/${service.name}`;
  return port.name === '' ? path : `${path}:${port.name}`;
}

export function flowOf(client: Client, place: Place): PacketFlow {
  return {
    origin: client.origin,
    source: client.source,
    interface: client.interface,
    protocol: place.protocol,
    destination: place.address,
    port: place.port,
  };
}

function isServed(world: World, service: Service): boolean {
  return (
    service.type !== 'ExternalName' &&
    !service.headless &&
    (service.proxyName ?? '') === (world.serviceProxyName ?? '')
  );
}

interface NamedPlace {
  readonly address: IpAddress;
  readonly number: number;
  readonly what: string;
}

function placesOf(
  world: World,
  { mode, localhostNodePorts }: Rules,
  service: Service,
  port: ServicePortSpec,
  family: IpFamily,
): NamedPlace[] {
  const places: NamedPlace[] = [];
  const add = (text: string | undefined, number: number, what: string) => {
    const address = parseIp(text ?? '');
    if (address === undefined || address.includes(':') !== (family === 'IPv6')) return;
    if (!places.some((p) => p.address === address && p.number === number))
      places.push({ address, number, what });
  };
  add(service.clusterIPs[family], port.port, 'cluster IP');
  for (const ip of service.externalIPs) add(ip, port.port, 'external IP');
  for (const ip of loadBalancerIPs(service)) add(ip, port.port, 'load-balancer IP');
  if (port.nodePort !== 0) {
    add(world.nodeAddresses[family], port.nodePort, 'node port');
    for (const address of world.hostAddresses) {
      if (!address.startsWith('127.') && address !== '::1' && !address.startsWith('fe80')) {
        add(address, port.nodePort, 'node port');
      }
    }
    // Only mode iptables has node ports on localhost in the kernel's rules.
    if (mode === 'iptables' && localhostNodePorts && family === 'IPv4') {
      add('127.0.0.1', port.nodePort, ON_LOCALHOST);
    }
  }
  return places;
}

function rangesOf(service: Service, what: string): readonly Cidr[] {
  if (what !== 'load-balancer IP') return [];
  return service.loadBalancerSourceRanges.flatMap((range) => parseCidr(range) ?? []);
}

/** How many endpoints of a service port are asked about as their own clients. */
const MOST_HAIRPINS = 32;

/** Endpoints of this node: each may be its own client. */
function hairpins(
  world: World,
  service: Service,
  port: ServicePortSpec,
  family: IpFamily,
): readonly IpAddress[] {
  return endpointSets(world, service, port, family)
    .all.filter(({ mayBeHere, address }) => mayBeHere && cidrOfPods(world, family, address))
    .slice(0, MOST_HAIRPINS)
    .flatMap(({ address }) => parseIp(address) ?? []);
}

function cidrOfPods(world: World, family: IpFamily, address: string): boolean {
  const cidr = parseCidr(world.podCIDRs[family] ?? '');
  return cidr === undefined || cidrContains(cidr, address as IpAddress);
}
