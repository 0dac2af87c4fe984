/** The texts of tools → the rules of the other proxy, ready to be asked. Pure: who reads files or the kernel is outside. */
import { PenstockError } from '../errors.js';
import type { RuleOptions, World } from '../explain/World.js';
import type { IpAddress, IpFamily } from '../net/ip.js';
import { IP_FAMILIES, parseIp } from '../net/ip.js';
import type { OtherProxy } from './compareRules.js';
import { IptablesTracer } from './iptables/IptablesTracer.js';
import { readSave, type SavedRules } from './iptables/readSave.js';
import { IpvsTracer } from './ipvs/IpvsTracer.js';
import { IpSets } from './ipvs/readIpset.js';
import { readIpvsadm } from './ipvs/readIpvsadm.js';
import { stockRules } from './ipvs/stockRules.js';
import { NftTracer } from './nft/NftTracer.js';
import { parseNftJson } from './nft/parseNftJson.js';
import { parseNftText } from './nft/parseNftText.js';
import { localAddresses, type RuleTracer } from './Packet.js';
import { placesOfIptables, placesOfIpvs, placesOfNft } from './places.js';

/** The output of a tool and what to call it in messages: a path, or `iptables-save`. */
export interface RuleText {
  readonly name: string;
  readonly text: string;
}

export interface RuleTexts {
  /** One for each family; told apart by the addresses in them. */
  readonly iptablesSave: readonly RuleText[];
  readonly nft: RuleText | undefined;
  readonly ipvsadm: RuleText | undefined;
  readonly ipset: RuleText | undefined;
}

export interface OtherRules extends OtherProxy {
  /** Rules of others in the same chains, which are not followed. */
  readonly notFollowed: readonly string[];
}

/** Throws PENSTOCK_RULES_UNREADABLE. */
export function readRules(texts: RuleTexts, world: World, rules: RuleOptions): OtherRules {
  if (texts.ipvsadm !== undefined) return readIpvs(texts, texts.ipvsadm, world, rules);
  if (texts.nft !== undefined) return readNft(texts.nft, world);
  return readIptables(texts.iptablesSave, world);
}

/** Whose rules these are, by the tool that printed them. */
export function modeOf({ ipvsadm, nft }: RuleTexts): OtherProxy['mode'] {
  if (ipvsadm !== undefined) return 'ipvs';
  return nft !== undefined ? 'nftables' : 'iptables';
}

function ownAddresses(world: World): readonly IpAddress[] {
  return [...Object.values(world.nodeAddresses), ...world.hostAddresses].flatMap(
    (text) => parseIp(text) ?? [],
  );
}

function readIptables(texts: readonly RuleText[], world: World): OtherRules {
  const saved = byFamily(texts);
  const isLocal = localAddresses(ownAddresses(world));
  const tracers = new Map(
    [...saved].map(([family, rules]) => [family, new IptablesTracer(rules, { isLocal })]),
  );
  const all = [...saved.values()];
  if (!all.some(({ chains }) => chains.has('nat KUBE-SERVICES'))) {
    throw unreadable(texts.map(({ name }) => name).join(', '), 'there is no chain KUBE-SERVICES in it');
  }
  return {
    title: 'kube-proxy, mode iptables',
    mode: 'iptables',
    tracer: eachFamily(tracers),
    places: [...saved].flatMap(([family, rules]) =>
      placesOfIptables(rules, inFamily(ownAddresses(world), family)),
    ),
    families: [...saved.keys()],
    notFollowed: [...tracers.values()].flatMap((tracer) => tracer.foreignRules()),
  };
}

function readNft({ name, text }: RuleText, world: World): OtherRules {
  const isJson = text.trimStart().startsWith('{');
  const tables = (isJson ? parseNftJson(text, name) : parseNftText(text, name)).filter(
    (t) => t.name === 'kube-proxy',
  );
  if (tables.length === 0) throw unreadable(name, 'there is no table kube-proxy in it');
  const own = ownAddresses(world);
  return {
    title: 'kube-proxy, mode nftables',
    mode: 'nftables',
    tracer: new NftTracer(tables, localAddresses(own)),
    places: placesOfNft(tables, own),
    families: IP_FAMILIES.filter((family) =>
      tables.some((t) => t.family === (family === 'IPv4' ? 'ip' : 'ip6')),
    ),
    notFollowed: [],
  };
}

function readIpvs(
  { ipset, iptablesSave }: RuleTexts,
  ipvsadm: RuleText,
  world: World,
  rules: RuleOptions,
): OtherRules {
  const servers = readIpvsadm(ipvsadm.text, ipvsadm.name);
  if (ipset === undefined) throw unreadable(ipvsadm.name, 'the sets of `ipset save` are missing beside it');
  const sets = new IpSets(ipset.text, ipset.name);
  const given = byFamily(iptablesSave);
  const isLocal = localAddresses(ownAddresses(world));
  const families = IP_FAMILIES.filter(
    (family) =>
      sets.names().some((name) => name.startsWith('KUBE-6-') === (family === 'IPv6')) ||
      [...servers.values()].some(({ address }) => address.includes(':') === (family === 'IPv6')),
  );
  const tracers = new Map(
    families.map((family) => {
      const { detectLocal, masqueradeAll } = rules;
      const settings = { detectLocal, masqueradeAll, podCIDR: world.podCIDRs[family] };
      const saved = given.get(family) ?? stockRules(family, settings, sets.names());
      return [family, new IpvsTracer({ servers, sets, rules: saved, isLocal })];
    }),
  );
  return {
    title: 'kube-proxy, mode ipvs',
    mode: 'ipvs',
    tracer: eachFamily(tracers),
    places: placesOfIpvs(servers),
    families,
    notFollowed: [],
  };
}

function byFamily(texts: readonly RuleText[]): Map<IpFamily, SavedRules> {
  const saved = new Map<IpFamily, SavedRules>();
  for (const { name, text } of texts) {
    const isV6 =
      /(^| )-[sd] [0-9a-f]*:[0-9a-f:.]*|icmp6|to-destination \[/m.test(text) || /ip6tables/.test(text);
    const family = isV6 ? 'IPv6' : 'IPv4';
    if (saved.has(family))
      throw unreadable(name, `these are rules of ${family}, which another file has already`);
    saved.set(family, readSave(text, name));
  }
  return saved;
}

function eachFamily(tracers: ReadonlyMap<IpFamily, RuleTracer>): RuleTracer {
  return {
    trace(flow) {
      const tracer = tracers.get(flow.destination.includes(':') ? 'IPv6' : 'IPv4');
      if (tracer === undefined) throw new TypeError('a question of a family without rules');
      return tracer.trace(flow);
    },
  };
}

function inFamily(addresses: readonly IpAddress[], family: IpFamily): readonly IpAddress[] {
  return addresses.filter((address) => address.includes(':') === (family === 'IPv6'));
}

function unreadable(name: string, why: string): PenstockError {
  return new PenstockError('PENSTOCK_RULES_UNREADABLE', `${name}: ${why}`, {
    remedy:
      'Give what iptables-save, `nft list ruleset`, or `ipvsadm -Sn` and `ipset save` printed on the node.',
  });
}
