/**
 * The chains that connections to Services go through, by what distinguishes them. There is one for each combination in use,
 * not for each Service: kind, and how an endpoint is picked. pickChains.ts has those that pick.
 */
import { FIELDS } from '../../../kernel/nftables/fields.js';
import {
  type Comparison,
  destinationNat,
  goTo,
  inputInterface,
  inSet,
  isLocalAddress,
  prefix,
  type Rule,
  type Statement,
  setMark,
} from '../../../kernel/nftables/statements.js';
import type { ChainSpec } from '../../../kernel/nftables/Transaction.js';
import type { IpFamily } from '../../../net/ip.js';
import type { LocalTraffic, NftablesSettings } from './NftablesSettings.js';
import { keyFields, type Pick, pickChainName, pickChains, pickWords, type Space } from './pickChains.js';

/** cluster: to a cluster IP. external: from outside, policy Cluster. local: from outside, policy Local. */
export type ChainKind = 'cluster' | 'external' | 'local';

export interface ServiceChain {
  readonly kind: ChainKind;
  readonly space: Space;
  readonly pick: Pick;
  /** For policy Local: from this node or its pods all endpoints may serve. */
  readonly shortCircuit?: Pick;
  /** Only clients of the source ranges may pass. */
  readonly firewalled: boolean;
  /** Session affinity. */
  readonly sticky: boolean;
}

export const RANDOM: Pick = { algorithm: 'random', size: 0, owner: '' };

/** Where connections to VIPs go that `service-chains` does not name: cluster IPs, by chance. */
export const DEFAULT: ServiceChain = {
  kind: 'cluster',
  space: 'vip',
  pick: RANDOM,
  firewalled: false,
  sticky: false,
};
export const DEFAULT_CHAIN = serviceChainName(DEFAULT);

/** Where clients go that the source ranges do not contain. */
export const OUTSIDE_RANGES = 'drop-outside-ranges';

export function serviceChainName({
  kind,
  space,
  pick,
  shortCircuit,
  firewalled,
  sticky,
}: ServiceChain): string {
  return joined(
    space === 'vip' ? '' : 'node-port',
    firewalled ? 'firewalled' : '',
    sticky ? 'sticky' : '',
    kind,
    ...pickWords(pick, shortCircuit),
  );
}

/** What a service chain of policy Local goes on in for pods and the node. */
function shortCircuitName({ space, sticky }: ServiceChain, pick: Pick): string {
  return joined(
    space === 'vip' ? '' : 'node-port',
    sticky ? 'sticky' : '',
    'short-circuit',
    ...pickWords(pick),
  );
}

function joined(...words: readonly string[]): string {
  return words.filter((word) => word !== '').join('-');
}

/** The chain, and those that it goes to for an endpoint. */
export function serviceChains(chain: ServiceChain, settings: NftablesSettings): readonly ChainSpec[] {
  const { space, pick, shortCircuit, sticky } = chain;
  const { family } = settings;
  const chains: ChainSpec[] = [
    { name: serviceChainName(chain), rules: entryRules(chain, settings) },
    ...pickChains(space, 'own', pick, family),
  ];
  if (shortCircuit === undefined) return chains;
  const rules = [...affinityRules(family, space, sticky), [goTo(pickChainName(space, 'all', shortCircuit))]];
  chains.push({ name: shortCircuitName(chain, shortCircuit), rules });
  return [...chains, ...pickChains(space, 'all', shortCircuit, family)];
}

function entryRules(chain: ServiceChain, settings: NftablesSettings): Rule[] {
  const { kind, space, pick, shortCircuit, firewalled, sticky } = chain;
  const { family, masqueradeMark, localTraffic } = settings;
  const { sourceAddress } = FIELDS[family];
  const rules: Rule[] = [];
  if (firewalled)
    rules.push([
      inSet([...keyFields(family, space), sourceAddress], 'is not', 'source-ranges'),
      goTo(OUTSIDE_RANGES),
    ]);
  /** A rule that marks what matches for masquerade, where anything is masqueraded at all. */
  const marking = (...match: Statement[]) =>
    masqueradeMark === 0 ? [] : [[...match, setMark(masqueradeMark)]];
  switch (kind) {
    case 'cluster':
      if (settings.masqueradeAll) rules.push(...marking());
      else if (localTraffic) rules.push(...marking(fromPod(family, 'is not', localTraffic)));
      break;
    case 'external':
      rules.push(...marking());
      break;
    case 'local': {
      const all = goTo(shortCircuitName(chain, shortCircuit ?? RANDOM));
      if (localTraffic) rules.push([fromPod(family, 'is', localTraffic), all]);
      rules.push(...marking(isLocalAddress('saddr')), [isLocalAddress('saddr'), all]);
      break;
    }
  }
  return [...rules, ...affinityRules(family, space, sticky), [goTo(pickChainName(space, 'own', pick))]];
}

function affinityRules(family: IpFamily, space: Space, sticky: boolean): Rule[] {
  if (!sticky) return [];
  const key = [FIELDS[family].sourceAddress, ...keyFields(family, space)];
  return [[destinationNat(family, key, space === 'vip' ? 'affinity' : 'node-port-affinity')]];
}

function fromPod(family: IpFamily, comparison: Comparison, local: LocalTraffic): Statement {
  return local.by === 'source'
    ? prefix(FIELDS[family].sourceAddress, comparison, local.cidr)
    : inputInterface(comparison, local.name);
}
