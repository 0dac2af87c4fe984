/** One client of every kind that rules may treat differently. */
import type { Rules, World } from '../explain/World.js';
import {
  bytesToIp,
  type Cidr,
  cidrContains,
  type IpAddress,
  type IpFamily,
  ipToBytes,
  parseCidr,
  parseIp,
} from '../net/ip.js';

export interface Client {
  /** `a pod on this node`. */
  readonly kind: string;
  readonly origin: 'pod' | 'node' | 'external';
  readonly source: IpAddress;
  readonly interface: string;
}

/** Where clients from outside come from, unless a source range says otherwise. */
const OUTSIDE: Readonly<Record<IpFamily, readonly string[]>> = {
  // Documentation networks (RFC 5737, RFC 3849) and networks of benchmarks (RFC 2544, RFC 5180).
  IPv4: ['198.51.100.231', '203.0.113.231', '192.0.2.231', '198.18.0.231'],
  IPv6: ['2001:db8:ffff::231', '2001:2::231', '3fff::231'],
};

/** How many source ranges of a Service get a client of their own. */
const MOST_RANGES = 8;

/** The clients of a node; those that every place has in common are made once. */
export class Clients {
  readonly #world: World;
  readonly #rules: Rules;
  readonly #common = new Map<IpFamily, readonly Client[]>();

  constructor(world: World, rules: Rules) {
    this.#world = world;
    this.#rules = rules;
  }

  /**
   * @param ranges the source ranges of the place; those of the other family do not count
   * @param hairpins endpoints that ask for themselves
   * @param balancer the place itself, when it is a load-balancer IP: the node may use it as its own address
   */
  of(
    family: IpFamily,
    ranges: readonly Cidr[],
    hairpins: readonly IpAddress[],
    balancer?: IpAddress,
  ): Client[] {
    const ofFamily = ranges.filter((range) => range.includes(':') === (family === 'IPv6'));
    const outside = OUTSIDE[family].flatMap((text) => parseIp(text) ?? []);
    const stranger = outside.find((address) => !ofFamily.some((range) => cidrContains(range, address)));
    const kind = ofFamily.length > 0 ? 'a client outside the source ranges' : 'a client from outside';
    return [
      ...this.#inside(family),
      ...client(kind, 'external', stranger, 'eth0'),
      ...ofFamily
        .slice(0, MOST_RANGES)
        .flatMap((range) =>
          client(`a client in source range ${range}`, 'external', offset(range, 7), 'eth0'),
        ),
      ...(ofFamily.length > 0 ? client('the load-balancer IP itself', 'node', balancer, '') : []),
      ...hairpins.flatMap((endpoint) =>
        client(`the endpoint ${endpoint} itself`, 'pod', endpoint, interfaceOfPods(this.#rules)),
      ),
    ];
  }

  #inside(family: IpFamily): readonly Client[] {
    const known = this.#common.get(family);
    if (known) return known;
    const { podCIDRs, nodeAddresses, slices } = this.#world;
    const taken = new Set<string>(slices.flatMap(({ endpoints }) => endpoints.map(({ address }) => address)));
    const own = parseCidr(podCIDRs[family] ?? '');
    const cluster = clusterCidr(this.#rules, family);
    const made = [
      ...client(
        'a pod on this node',
        'pod',
        highIn(own ?? cluster, taken, undefined),
        interfaceOfPods(this.#rules),
      ),
      ...client('a pod on another node', 'external', highIn(cluster, taken, own), 'eth0'),
      ...client('this node', 'node', parseIp(nodeAddresses[family] ?? ''), ''),
    ];
    this.#common.set(family, made);
    return made;
  }
}

function client(
  kind: string,
  origin: Client['origin'],
  source: IpAddress | undefined,
  link: string,
): readonly Client[] {
  return source === undefined ? [] : [{ kind, origin, source, interface: link }];
}

function interfaceOfPods({ detectLocal }: Rules): string {
  if (detectLocal.type === 'BridgeInterface') return detectLocal.name;
  if (detectLocal.type === 'InterfaceNamePrefix') return `${detectLocal.prefix}0`;
  return 'veth0';
}

function clusterCidr({ detectLocal }: Rules, family: IpFamily): Cidr | undefined {
  return detectLocal.type === 'ClusterCIDR' ? detectLocal.cidrs[family] : undefined;
}

/** An address near the end of the range that is no endpoint and not in `besides`. */
function highIn(
  range: Cidr | undefined,
  taken: ReadonlySet<string>,
  besides: Cidr | undefined,
): IpAddress | undefined {
  if (range === undefined) return undefined;
  const bytes = ipToBytes(range.slice(0, range.indexOf('/')) as IpAddress);
  const length = Number(range.slice(range.indexOf('/') + 1));
  for (let i = 0; i < bytes.length; i++) {
    const hostBits = Math.min(8, Math.max(0, (i + 1) * 8 - length));
    bytes[i] = (bytes[i] ?? 0) | ((1 << hostBits) - 1);
  }
  // Counts down from the last address, which may be a broadcast address.
  for (let tries = 0; tries < 64; tries++) {
    const last = bytes.length - 1;
    bytes[last] = ((bytes[last] ?? 0) - 1) & 255;
    const address = bytesToIp(bytes.slice());
    if (!taken.has(address) && !(besides && cidrContains(besides, address))) return address;
  }
  return undefined;
}

/** An address in the range: its n-th, or its first when it is smaller. */
function offset(range: Cidr, n: number): IpAddress | undefined {
  const bytes = ipToBytes(range.slice(0, range.indexOf('/')) as IpAddress);
  const last = bytes.length - 1;
  bytes[last] = (bytes[last] ?? 0) + n;
  const address = bytesToIp(bytes);
  return cidrContains(range, address) ? address : parseIp(range.slice(0, range.indexOf('/')));
}
