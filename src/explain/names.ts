/** What a person writes for a client and a destination → addresses. Every mistake is a sentence. */
import { familyOf, type IpAddress, type IpFamily, LOOPBACK, parseIp } from '../net/ip.js';
import { nearestName } from '../net/nearestName.js';
import type { Protocol, Service } from '../objects/Service.js';
import { contains, isLocalAddress } from './addresses.js';
import { pathOf } from './claims.js';
import { type Flow, isProtocol, type Rules, type World } from './World.js';

/** The text cannot be made out: one sentence says why. */
export class UnknownName extends Error {}

export interface Destination {
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: Protocol;
}

/** Of documentation (RFC 5737, RFC 3849): somebody outside of the cluster. */
const OUTSIDE: Readonly<Record<IpFamily, IpAddress>> = {
  IPv4: '198.51.100.1' as IpAddress,
  IPv6: '2001:db8::1' as IpAddress,
};

/** `VIP:PORT/PROTO`, `[VIP]:PORT`, `SERVICE:PORT`, `NAMESPACE/SERVICE:PORT NAME`, `SERVICE.NAMESPACE.svc:PORT`, `node:NODEPORT`. */
export function readDestination(text: string, world: World, wanted: IpFamily | undefined): Destination {
  const protocolText = /\/(tcp|udp|sctp)$/i.exec(text)?.[1]?.toUpperCase();
  const given: Protocol | undefined =
    protocolText !== undefined && isProtocol(protocolText) ? protocolText : undefined;
  const rest = given === undefined ? text : text.slice(0, -given.length - 1);
  const bracketed = /^\[([^\]]*)\]:(.+)$/.exec(rest);
  const colon = rest.lastIndexOf(':');
  const whole = bracketed ? undefined : parseIp(rest);
  const host = bracketed?.[1] ?? (whole || colon < 0 ? rest : rest.slice(0, colon));
  const portText = bracketed?.[2] ?? (whole || colon < 0 ? '' : rest.slice(colon + 1));
  const slash = /^\d+\/(.*)$/.exec(portText);
  if (slash)
    throw new UnknownName(`there is no protocol ${JSON.stringify(slash[1])}; TCP, UDP and SCTP there are`);
  const address = parseIp(host) ?? nodeWord(host, world, wanted);
  if (address !== undefined) {
    if (portText === '')
      throw new UnknownName(`${text}: the port is missing, as in ${bracket(address)}:80/TCP`);
    return { address, port: portNumber(portText), protocol: given ?? 'TCP' };
  }
  if (/^[0-9.]+$/.test(host) || host.includes(':'))
    throw new UnknownName(`${JSON.stringify(host)} is no IP address`);
  return serviceDestination(serviceNamed(host, world), portText, given, wanted);
}

function serviceDestination(
  service: Service,
  portText: string,
  protocol: Protocol | undefined,
  wanted: IpFamily | undefined,
): Destination {
  const path = pathOf(service);
  const address =
    (wanted && service.clusterIPs[wanted]) ?? service.clusterIPs.IPv4 ?? service.clusterIPs.IPv6;
  if (address === undefined) {
    const why = service.headless
      ? 'is headless: clients get the addresses of its pods from DNS'
      : `has no cluster IP (type ${service.type})`;
    throw new UnknownName(`Service ${path} ${why}`);
  }
  const ports = service.ports.filter((p) => protocol === undefined || p.protocol === protocol);
  const list = service.ports
    .map((p) => `${p.name === '' ? '' : `${p.name} = `}${p.port}/${p.protocol}`)
    .join(', ');
  if (portText === '') {
    const [only, another] = ports;
    if (!only || another) throw new UnknownName(`Service ${path} has the ports ${list}: say which`);
    return { address, port: only.port, protocol: only.protocol };
  }
  if (/^\d+$/.test(portText)) {
    const number = portNumber(portText);
    const found = ports.find((p) => p.port === number);
    return { address, port: number, protocol: found?.protocol ?? protocol ?? 'TCP' };
  }
  const named = ports.find((p) => p.name === portText);
  if (named) return { address, port: named.port, protocol: named.protocol };
  throw new UnknownName(`Service ${path} has no port ${JSON.stringify(portText)}; it has ${list}`);
}

/** `cart` (if there is only one, or one in namespace default), `shop/cart`, `cart.shop`, `cart.shop.svc.cluster.local`. */
export function serviceNamed(text: string, world: Pick<World, 'services'>): Service {
  const [first = '', second, third] = text.includes('/')
    ? text.split('/').reverse()
    : text.replace(/\.svc(\..*)?$/, '').split('.');
  const found = world.services.filter(
    (s) => s.name === first && (second === undefined || s.namespace === second) && third === undefined,
  );
  const [only, another] = found;
  if (only && !another) return only;
  const inDefault = found.find((s) => s.namespace === 'default');
  if (inDefault) return inDefault;
  if (only) {
    throw new UnknownName(
      `there are ${found.length} Services ${first}: ${found.slice(0, 5).map(pathOf).join(', ')}; say which`,
    );
  }
  const written = text.includes('/') ? text : second === undefined ? first : `${second}/${first}`;
  const names = world.services.map((s) => (second === undefined ? s.name : pathOf(s)));
  const near = nearestName(written, names);
  throw new UnknownName(
    `there is no Service ${written}${near === undefined ? '' : `; did you mean ${near}?`}`,
  );
}

/** An address, `node`, `localhost`, `outside`, the name of this node, `NAMESPACE/POD` or `POD`. */
export function readClient(text: string, world: World, family: IpFamily): IpAddress {
  const address = parseIp(text) ?? nodeWord(text, world, family);
  if (address !== undefined) return address;
  if (text === 'outside') return OUTSIDE[family];
  if (/^[0-9.]+$/.test(text) || text.includes(':'))
    throw new UnknownName(`${JSON.stringify(text)} is no IP address`);
  const [name = '', namespace] = text.split('/').reverse();
  const found = new Map<string, string>();
  const known = new Set<string>();
  for (const slice of world.slices) {
    for (const { podName, address: ip } of slice.endpoints) {
      if (podName === undefined) continue;
      known.add(namespace === undefined ? podName : `${slice.namespace}/${podName}`);
      const isIt = podName === name && (namespace === undefined || slice.namespace === namespace);
      if (isIt && slice.family === family) found.set(`${slice.namespace}/${podName}`, ip);
    }
  }
  const [only, another] = [...found];
  if (only && !another) return only[1] as IpAddress;
  if (only)
    throw new UnknownName(
      `there are several pods ${name}: ${[...found.keys()].slice(0, 5).join(', ')}; say which`,
    );
  const near = nearestName(text, known);
  throw new UnknownName(
    near === undefined
      ? `${JSON.stringify(text)} is no address and no pod that an EndpointSlice names; give an address, node, localhost or outside`
      : `there is no pod ${text}; did you mean ${near}?`,
  );
}

function nodeWord(text: string, world: World, family: IpFamily | undefined): IpAddress | undefined {
  if (text === 'localhost') return LOOPBACK[family ?? 'IPv4'];
  if (text !== 'node' && (text === '' || text !== world.nodeName)) return undefined;
  const own = (f: IpFamily) =>
    world.nodeAddresses[f] ?? world.hostAddresses.find((ip) => isOf(ip, f) && !ip.startsWith('fe80:'));
  const address = family === undefined ? (own('IPv4') ?? own('IPv6')) : own(family);
  if (address === undefined)
    throw new UnknownName(`node ${world.nodeName} has no ${family ?? 'IP'} address that is known`);
  return address as IpAddress;
}

function isOf(address: string, family: IpFamily): boolean {
  return address.includes(':') === (family === 'IPv6');
}

function bracket(address: IpAddress): string {
  return address.includes(':') ? `[${address}]` : address;
}

function portNumber(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= 1 && number <= 65_535) return number;
  throw new UnknownName(`${JSON.stringify(text)} is no port: 1 to 65535`);
}

export interface FlowWords {
  readonly client: string;
  readonly destination: string;
  /** Where the packet enters; undefined: as an address like this would. */
  readonly interface?: string | undefined;
}

/** Throws UnknownName. */
export function readFlow(words: FlowWords, world: World, rules: Rules): Flow {
  const clientAddress = parseIp(words.client);
  const hint = clientAddress === undefined ? undefined : familyOf(clientAddress);
  const to = readDestination(words.destination, world, hint);
  const family = familyOf(to.address);
  const source = readClient(words.client, world, family);
  if (familyOf(source) !== family) {
    throw new UnknownName(
      `${source} cannot reach ${to.address}: the one is ${familyOf(source)}, the other ${family}`,
    );
  }
  const isNode = isLocalAddress(world, source);
  const flow = { source, protocol: to.protocol, destination: to.address as string, port: to.port };
  if (isNode) return { ...flow, origin: 'node', interface: '' };
  return {
    ...flow,
    origin: isPodAddress(world, rules, family, source) ? 'pod' : 'external',
    interface: words.interface,
  };
}

/** Where nothing but the interface tells, an address that is in a pod range or that of an endpoint here counts as a pod's. */
function isPodAddress(world: World, rules: Rules, family: IpFamily, source: IpAddress): boolean {
  const range =
    rules.detectLocal.type === 'ClusterCIDR' ? rules.detectLocal.cidrs[family] : world.podCIDRs[family];
  if (range !== undefined && contains(range, source)) return true;
  return world.slices.some((s) =>
    s.endpoints.some((e) => e.address === source && e.nodeName === world.nodeName),
  );
}
