/**
 * What mode nftables needs of the kernel, and whether it is there. Each feature is a small transaction that the kernel
 * looks at and takes back (NftablesTable.check), made of the very statements that are written later.
 */
import type { Cidr, IpFamily } from '../../net/ip.js';
import type { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { INDEX, INET_SERVICE, IPV4_ADDRESS, IPV6_ADDRESS } from './dataTypes.js';
import { DESTINATION_PORT, FIELDS, hashField, numberField, vipFields } from './fields.js';
import { type SetSpec, typesOf } from './SetSpec.js';
import {
  DROP,
  destinationNat,
  HAS_DESTINATION_NAT,
  inSet,
  isLocalAddress,
  isProtocol,
  logTo,
  MASQUERADE,
  prefix,
  RESET,
  type Rule,
  redirect,
  reject,
  setMark,
  updateMap,
  verdictMap,
} from './statements.js';
import { type ChainSpec, Transaction } from './Transaction.js';
import { NftablesTable } from './table/NftablesTable.js';
import { writeCheck } from './writeTransaction.js';

/** Never comes to be: what the kernel says to transactions that would make it is all that is wanted. */
export const PROBE_TABLE = 'penstock-probe';

export interface KernelFeature {
  readonly name: string;
  /** `mode nftables`: without it nothing works. Else what does not. */
  readonly neededFor: string;
  /** As in the kernel's configuration. */
  readonly kernelOption: string;
}

export interface Feature extends KernelFeature {
  readonly probe: (family: IpFamily) => Transaction;
}

export interface FeatureResult {
  readonly feature: KernelFeature;
  readonly family: IpFamily;
  /** What the kernel said; undefined: it is there. */
  readonly error: Error | undefined;
}

/** Features without which nothing works. */
export const ALL = 'mode nftables';

type NatHook = 'prerouting' | 'output' | 'postrouting' | 'input';

function transaction(
  family: IpFamily,
  sets: readonly SetSpec[],
  hook: NatHook,
  ...rules: readonly Rule[]
): Transaction {
  const probe = new Transaction(family, PROBE_TABLE);
  probe.createTable = true;
  probe.newSets.push(...sets);
  const priority = hook === 'prerouting' || hook === 'output' ? -100 : 100;
  const chain: ChainSpec = { name: 'probe', hook: { type: 'nat', hook, priority }, rules };
  probe.addChain(chain);
  return probe;
}

const addressOf = (family: IpFamily) => (family === 'IPv4' ? IPV4_ADDRESS : IPV6_ADDRESS);
const vipTypes = (family: IpFamily) => typesOf({ fields: vipFields(family) });
const ANYWHERE: Readonly<Record<IpFamily, Cidr>> = { IPv4: '10.0.0.0/12' as Cidr, IPv6: 'fd00::/12' as Cidr };

/** A map as `endpoints` is, with the key that the index makes complete. */
const endpointMap = (family: IpFamily): SetSpec => ({
  name: 'endpoints',
  key: { types: [...vipTypes(family), INDEX] },
  data: { types: [addressOf(family), INET_SERVICE] },
  size: 1024,
});

const verdicts = (family: IpFamily, rest: Partial<SetSpec> = {}): SetSpec => ({
  name: 'verdicts',
  key: { types: vipTypes(family) },
  data: 'verdict',
  size: 1024,
  ...rest,
});

const dnat = (family: IpFamily, index: ReturnType<typeof numberField>): Rule => [
  destinationNat(family, [...vipFields(family), index], 'endpoints'),
];
const range = { modulus: 2, offset: 0 };

const LOGGING = 'packets for the flow log';
/** A probe of this process has found it: a kernel that runs loses no feature. */
let hasLog = false;

export const FEATURES: readonly Feature[] = [
  {
    name: 'tables',
    neededFor: ALL,
    kernelOption: 'CONFIG_NF_TABLES_IPV4, CONFIG_NF_TABLES_IPV6',
    probe: (family) => {
      const probe = new Transaction(family, PROBE_TABLE);
      probe.createTable = true;
      return probe;
    },
  },
  ...(['prerouting', 'output', 'postrouting'] as const).map(
    (hook): Feature => ({
      name: `nat chains at ${hook}`,
      neededFor: ALL,
      kernelOption: 'CONFIG_NFT_NAT, CONFIG_NF_NAT',
      probe: (family) => transaction(family, [], hook),
    }),
  ),
  {
    name: 'maps of verdicts, keys of several fields',
    neededFor: ALL,
    kernelOption: 'CONFIG_NF_TABLES',
    probe: (family) =>
      transaction(family, [verdicts(family)], 'prerouting', [verdictMap(vipFields(family), 'verdicts')]),
  },
  {
    name: 'DNAT to an address and port from a map',
    neededFor: ALL,
    kernelOption: 'CONFIG_NFT_NAT (5.3)',
    probe: (family) => {
      const map: SetSpec = { ...endpointMap(family), key: { types: vipTypes(family) } };
      return transaction(family, [map], 'prerouting', [
        destinationNat(family, vipFields(family), 'endpoints'),
      ]);
    },
  },
  {
    name: 'random numbers',
    neededFor: ALL,
    kernelOption: 'CONFIG_NFT_NUMGEN',
    probe: (family) =>
      transaction(family, [endpointMap(family)], 'prerouting', dnat(family, numberField('random', range))),
  },
  {
    name: 'packet marks and prefixes',
    neededFor: ALL,
    kernelOption: 'CONFIG_NF_TABLES',
    probe: (family) =>
      transaction(family, [], 'prerouting', [
        prefix(FIELDS[family].sourceAddress, 'is not', ANYWHERE[family]),
        setMark(0x4000),
      ]),
  },
  {
    name: 'state of connections',
    neededFor: ALL,
    kernelOption: 'CONFIG_NFT_CT, CONFIG_NF_CONNTRACK',
    probe: (family) => transaction(family, [], 'postrouting', [HAS_DESTINATION_NAT, DROP]),
  },
  {
    name: 'masquerade',
    neededFor: ALL,
    kernelOption: 'CONFIG_NFT_MASQ',
    probe: (family) => transaction(family, [], 'postrouting', [MASQUERADE]),
  },
  {
    name: 'refusals in nat chains',
    neededFor: ALL,
    kernelOption: 'CONFIG_NFT_REJECT (5.9 for prerouting)',
    probe: (family) => transaction(family, [], 'prerouting', [isProtocol('tcp'), RESET], [reject(family)]),
  },
  {
    name: 'addresses of this host',
    neededFor: ALL,
    kernelOption: 'CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6',
    probe: (family) => transaction(family, [], 'prerouting', [isLocalAddress('daddr'), DROP]),
  },
  {
    name: LOGGING,
    neededFor: 'penstock flows',
    kernelOption: 'CONFIG_NFT_LOG, CONFIG_NFT_LIMIT, CONFIG_NETFILTER_NETLINK_LOG',
    probe: (family) => transaction(family, [], 'prerouting', [logTo(1, 'probe'), DROP]),
  },
  {
    name: 'redirection',
    neededFor: 'pings to VIPs, node ports on localhost',
    kernelOption: 'CONFIG_NFT_REDIR',
    probe: (family) => transaction(family, [], 'output', [isProtocol('tcp'), redirect(1)]),
  },
  {
    name: 'counters of elements',
    neededFor: 'connection counts (penstock.serviceCounters)',
    kernelOption: 'CONFIG_NF_TABLES (5.7)',
    probe: (family) => transaction(family, [verdicts(family, { counters: true })], 'prerouting'),
  },
  {
    name: 'maps that rules fill, with timeouts',
    neededFor: 'session affinity',
    kernelOption: 'CONFIG_NF_TABLES (4.10)',
    probe: (family) => {
      const { sourceAddress, destinationAddress } = FIELDS[family];
      const data = [destinationAddress, DESTINATION_PORT];
      const learned: SetSpec = {
        name: 'learned',
        key: { types: [addressOf(family)] },
        data: { types: [addressOf(family), INET_SERVICE] },
        kind: 'dynamic',
        size: 1024,
      };
      const learn = updateMap('learned', { key: [sourceAddress], data, seconds: 1 });
      return transaction(family, [learned], 'postrouting', [isProtocol('tcp'), learn]);
    },
  },
  {
    name: 'nat chains at input',
    neededFor: 'session affinity with endpoints on this host',
    kernelOption: 'CONFIG_NFT_NAT',
    probe: (family) => transaction(family, [], 'input'),
  },
  {
    name: 'ranges in keys of several fields',
    neededFor: 'loadBalancerSourceRanges',
    kernelOption: 'CONFIG_NF_TABLES (5.6)',
    probe: (family) => {
      const ranges: SetSpec = {
        name: 'ranges',
        key: { types: [...vipTypes(family), addressOf(family)] },
        kind: 'interval',
      };
      const fields = [...vipFields(family), FIELDS[family].sourceAddress];
      return transaction(family, [ranges], 'prerouting', [inSet(fields, 'is not', 'ranges'), DROP]);
    },
  },
  {
    name: 'hashes',
    neededFor: 'penstock.io/algorithm: source-hash, maglev',
    kernelOption: 'CONFIG_NFT_HASH',
    probe: (family) =>
      transaction(
        family,
        [endpointMap(family)],
        'prerouting',
        dnat(family, hashField([FIELDS[family].sourceAddress], range)),
      ),
  },
];

/**
 * Asks the kernel for all features of all families at once, then of each family, and for each by itself where it refuses that: to take
 * chains back costs it some ten milliseconds a time. Nothing of it stays. Rejects with NetlinkError when it cannot be asked.
 */
export async function probeFeatures(
  channel: NetlinkChannel,
  families: readonly IpFamily[],
): Promise<readonly FeatureResult[]> {
  const results: FeatureResult[] = [];
  const [refusal] = await channel.transaction(
    `check table ${PROBE_TABLE}`,
    writeCheck(families.map(together)),
  );
  if (refusal?.code === 'EPERM') throw refusal;
  for (const family of families) {
    const table = new NftablesTable(channel, family, PROBE_TABLE);
    const hasAll = refusal === undefined || (await table.check(together(family))) === undefined;
    for (const feature of FEATURES) {
      const error = hasAll ? undefined : await table.check(feature.probe(family));
      results.push({ feature, family, error });
    }
  }
  hasLog ||= results.some(
    ({ feature, family, error }) => feature.name === LOGGING && family === 'IPv4' && !error,
  );
  return results;
}

/** Whether rules of this kernel can log packets. */
export async function canLog(channel: NetlinkChannel): Promise<boolean> {
  if (hasLog) return true;
  const logging = FEATURES.find(({ name }) => name === LOGGING);
  const table = new NftablesTable(channel, 'IPv4', PROBE_TABLE);
  return logging !== undefined && (await table.check(logging.probe('IPv4'))) === undefined;
}

/** One chain for each hook, with the rules of all features; sets get names of their own. */
function together(family: IpFamily): Transaction {
  const whole = new Transaction(family, PROBE_TABLE);
  whole.createTable = true;
  for (const [index, feature] of FEATURES.entries()) {
    const { newSets, newChains, newRules } = feature.probe(family);
    const suffix = `-${index}`;
    whole.newSets.push(...newSets.map((set) => ({ ...set, name: set.name + suffix })));
    for (const { hook, rules } of newChains) {
      const name = `probe-${hook?.hook}`;
      if (!whole.newChains.some((chain) => chain.name === name)) {
        whole.newChains.push({ name, ...(hook ? { hook } : {}), rules: [] });
      }
      if (newRules.length > 0) {
        whole.newRules.push({ chain: name, rules: rules.map((rule) => renamed(rule, suffix)) });
      }
    }
  }
  return whole;
}

/** The rule with other names of its sets. */
function renamed(rule: Rule, suffix: string): Rule {
  return rule.map(({ text, expressions }) => ({
    text,
    expressions: expressions.map(({ name, values }) => ({
      name,
      values: typeof values.set === 'string' ? { ...values, set: values.set + suffix } : values,
    })),
  }));
}
