/**
 * The Service that nobody changes: once the kernel leads its clients to endpoints, it does so at every moment, whatever
 * happens to other Services, to the agent, or to its mode; until a stranger spoils something, and again after the repair.
 */
import { IP_FAMILIES, type IpFamily, ipToBytes } from '../../src/net/ip.js';
import { ip } from '../support/builders.js';
import { livingRules, type ModelChain, type ModelSet, type ModelTable } from '../support/model/Ruleset.js';
import { STEADY } from './Cluster.js';
import type { Mode } from './modes.js';
import type { SimulatedHost } from './SimulatedHost.js';

const VIPS: Readonly<Record<IpFamily, string>> = { IPv4: STEADY.vips[0], IPv6: STEADY.vips[1] };
const TABLE_FAMILIES: Readonly<Record<IpFamily, number>> = { IPv4: 2, IPv6: 10 };
const TCP = 6;

export class SteadyService {
  readonly #host: SimulatedHost;
  readonly #served = new Set<IpFamily>();
  #mode: Mode = 'userspace';
  /** The first thing that did not hold. */
  broken: string | undefined;

  constructor(host: SimulatedHost) {
    this.#host = host;
  }

  /** A process in this mode begins; what the one before left serves until it has its own. */
  begin(mode: Mode): void {
    this.#mode = mode;
    this.#served.clear();
    if (!this.#isSeen) return;
    for (const family of IP_FAMILIES) if (isServed(this.#host, family)) this.#served.add(family);
  }

  /** What is served now is no merit of the agent's, what is not no fault, until its own mode serves again. */
  spoiled(): void {
    this.#served.clear();
  }

  /** After each change that the agent made. */
  look(when: string): void {
    if (!this.#isSeen) return;
    for (const family of IP_FAMILIES) {
      if (SERVES[this.#mode](this.#host, family)) this.#served.add(family);
      else if (this.#served.has(family) && !isServed(this.#host, family)) {
        this.#served.delete(family);
        this.broken ??= `${STEADY.name} is not served over ${family} ${when}`;
      }
    }
  }

  /** After quiet: in both families. */
  get missing(): readonly IpFamily[] {
    return this.#isSeen ? IP_FAMILIES.filter((family) => !SERVES[this.#mode](this.#host, family)) : [];
  }

  /** The proxy of mode userspace is no kernel: what it serves is not seen here. */
  get #isSeen(): boolean {
    return this.#mode !== 'userspace';
  }
}

/** When a node changes its mode, the old rules go when the new ones are there. */
function isServed(host: SimulatedHost, family: IpFamily): boolean {
  return Object.values(SERVES).some((serves) => serves(host, family));
}

const SERVES: Readonly<Record<Mode, (host: SimulatedHost, family: IpFamily) => boolean>> = {
  nftables: ({ kernel }, family) =>
    [...kernel.nftables.tables.values()].some(
      (table) =>
        table.name === 'penstock' &&
        table.family === TABLE_FAMILIES[family] &&
        isServedByTable(table, VIPS[family]),
    ),
  iptables: ({ xtables }, family) => isServedByRules(xtables[family].dump(), VIPS[family]),
  ipvs: isServedByIpvs,
  userspace: () => false,
};

/**
 * From a base chain for what comes in and one for what the node sends, by way of the chain for what is not out of the ordinary, to
 * the chains that draw from as many indexes as its endpoints have. The lower half of those always leads to one.
 */
function isServedByTable(table: ModelTable, vip: string): boolean {
  const bases = [...table.chains.values()].filter(({ hook }) => hook?.type === 'nat');
  const asking = bases.filter((base) => setsFrom(base).has('service-ips'));
  if (asking.length < 2) return false;
  const place = latin1(ipToBytes(ip(vip)), [TCP, 0, 0, 0], [0, STEADY.port, 0, 0]);
  if (!table.sets.get('service-ips')?.elements.has(place)) return false;
  if (table.sets.get('service-chains')?.elements.has(place)) return false;
  const endpoints = table.sets.get('endpoints')?.elements;
  const has = (index: number) => endpoints?.has(place + latin1([index & 255, index >> 8, 0, 0])) ?? false;
  const count = [1, 2, 4, 8, 16, 32, 64, 128, 256].find(has);
  if (count === undefined) return false;
  // One and two indexes are drawn from at once: all of them are filled.
  const draws = count <= 2 ? [] : [`endpoints-${count}`, `endpoints-${count}-once`, 'endpoints-half'];
  const way = ['service', 'cluster', 'endpoints', ...draws];
  const isLiving = (name: string) => {
    const chain = table.chains.get(name);
    return chain !== undefined && livingRules(chain).length > 0;
  };
  return way.every(isLiving) && Array.from({ length: Math.ceil(count / 2) }, (_, i) => i + count).every(has);
}

/** Names of the sets that packets may be looked up in from a chain on. */
function setsFrom(first: ModelChain): ReadonlySet<string> {
  const chains = new Set<ModelChain>();
  const sets = new Set<ModelSet>();
  const visit = (chain: ModelChain) => {
    if (chains.has(chain)) return;
    chains.add(chain);
    for (const rule of livingRules(chain)) {
      for (const set of rule.sets) sets.add(set);
      for (const { chain: next } of rule.jumps) if (next) visit(next);
    }
  };
  visit(first);
  return new Set([...sets].map(({ name }) => name));
}

function isServedByRules(rules: Readonly<Record<string, readonly string[]>>, vip: string): boolean {
  const chain = (name: string) => rules[`nat ${name}`] ?? [];
  const leads = (from: string, to: string) => chain(from).some((rule) => rule.endsWith(`-j ${to}`));
  if (!leads('PREROUTING', 'KUBE-SERVICES') || !leads('OUTPUT', 'KUBE-SERVICES')) return false;
  const first = chain('KUBE-SERVICES').find(
    (rule) => rule.includes(`-d ${vip}/`) && rule.includes(`--dport ${STEADY.port} `),
  );
  const service = first && /-j (KUBE-SVC-\w+)$/.exec(first)?.[1];
  if (!service) return false;
  const endpoints = chain(service).flatMap((rule) => /-j (KUBE-SEP-\w+)$/.exec(rule)?.slice(1) ?? []);
  return (
    endpoints.length > 0 &&
    endpoints.every((name) => chain(name).some((rule) => rule.includes('--to-destination ')))
  );
}

function isServedByIpvs({ ipvs }: SimulatedHost, family: IpFamily): boolean {
  const { servers, addresses } = ipvs[family];
  if (!addresses.has(ip(VIPS[family]))) return false;
  const here = family === 'IPv4' ? VIPS.IPv4 : `[${VIPS.IPv6}]`;
  const found = servers.get(`${here}:${STEADY.port}/TCP`);
  return found !== undefined && [...found.realServers.values()].some(({ weight }) => weight > 0);
}

function latin1(...parts: readonly Iterable<number>[]): string {
  return String.fromCharCode(...parts.flatMap((part) => [...part]));
}
