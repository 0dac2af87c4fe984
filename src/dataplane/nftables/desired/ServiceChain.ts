/**
 * The chains that connections to Services go through, by what distinguishes them. There is one for each combination
 * in use, not for each Service: kind, how an endpoint is picked, and how many indexes there are to pick from.
 */
import type { KernelAlgorithm } from '../../../balancing/Balancing.js';
import {
  DESTINATION_PORT,
  FIELDS,
  type Field,
  hashField,
  L4_PROTOCOL,
  markField,
  numberField,
} from '../../../kernel/nftables/fields.js';
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
  verdictMap,
} from '../../../kernel/nftables/statements.js';
import type { ChainSpec } from '../../../kernel/nftables/Transaction.js';
import type { IpFamily } from '../../../net/ip.js';
import { CHOICE_MASK } from '../../../routing/choice.js';
import type { LocalTraffic, NftablesSettings } from './NftablesSettings.js';
import { type SetName, SHORT_CIRCUIT_OFFSET } from './sets.js';

/**
 * cluster: to a cluster IP. external: from outside, policy Cluster. local: from outside, policy Local.
 * short-circuit: from this node or its pods to a VIP with policy Local: all endpoints may serve.
 */
export type ChainKind = 'cluster' | 'external' | 'local' | 'short-circuit';

/** Whether the key of an endpoint begins with the VIP, or is the node port alone. */
export type Space = 'vip' | 'node-port';

export interface Pick {
  readonly algorithm: KernelAlgorithm;
  /** How many indexes there are. */
  readonly size: number;
  /** For round robin, which counts for each service port: its name. */
  readonly owner: string;
}

export interface ServiceChain {
  readonly kind: ChainKind;
  readonly space: Space;
  readonly pick: Pick;
  /** Only clients of the source ranges may pass. */
  readonly firewalled: boolean;
  /** Session affinity. */
  readonly sticky: boolean;
}

/** Where clients go that the source ranges do not contain. */
export const OUTSIDE_RANGES = 'drop-outside-ranges';

/** Tries of a random index before the last one, which always finds an endpoint. */
const TRIES = 8;

export function serviceChainName({ kind, space, pick, firewalled, sticky }: ServiceChain): string {
  const words = [
    space === 'vip' ? '' : 'node-port',
    firewalled ? 'firewalled' : '',
    sticky ? 'sticky' : '',
    kind,
  ];
  return `${words.filter((word) => word !== '').join('-')}-${pickText(pick)}`;
}

function pickChainName(space: Space, from: 'own' | 'all', pick: Pick): string {
  const words = [space === 'vip' ? '' : 'node-port', from === 'own' ? '' : 'short-circuit', 'endpoints'];
  return `${words.filter((word) => word !== '').join('-')}-${pickText(pick)}`;
}

function pickText({ algorithm, size, owner }: Pick): string {
  if (algorithm === 'random') return String(size);
  return algorithm === 'round-robin' ? `round-robin-${size}-${owner}` : `${algorithm}-${size}`;
}

/** How many indexes the endpoints of a chain have, read back from its name. Undefined for other chains. */
export function sizeInChainName(name: string): number | undefined {
  const digits = /^[a-z-]+-(\d+)$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The chain, and the one it goes to for an endpoint. */
export function serviceChains(chain: ServiceChain, settings: NftablesSettings): readonly ChainSpec[] {
  const { kind, space, pick } = chain;
  const picker = pickChain(space, kind === 'short-circuit' ? 'all' : 'own', pick, settings.family);
  return [{ name: serviceChainName(chain), rules: entryRules(chain, picker.name, settings) }, picker];
}

function entryRules(
  { kind, space, firewalled, sticky }: ServiceChain,
  picker: string,
  settings: NftablesSettings,
): Rule[] {
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
      const shortCircuit = verdictMap(keyFields(family, space), setOf(space, 'short-circuits'));
      if (localTraffic) rules.push([fromPod(family, 'is', localTraffic), shortCircuit]);
      rules.push(...marking(isLocalAddress('saddr')), [isLocalAddress('saddr'), shortCircuit]);
      break;
    }
    case 'short-circuit':
      break;
  }
  if (sticky) {
    rules.push([
      destinationNat(family, [sourceAddress, ...keyFields(family, space)], setOf(space, 'affinity')),
    ]);
  }
  return [...rules, [goTo(picker)]];
}

/**
 * Looks for an endpoint at an index. For random, some indexes may be empty (slotCount.ts): it tries again, which leaves
 * every endpoint the same chance; more than half are filled, so the lower half always is.
 */
function pickChain(space: Space, from: 'own' | 'all', pick: Pick, family: IpFamily): ChainSpec {
  const offset = from === 'own' ? 0 : SHORT_CIRCUIT_OFFSET;
  const at = (index: Field) =>
    destinationNat(family, [...keyFields(family, space), index], setOf(space, 'endpoints'));
  const fields = [markField(CHOICE_MASK), ...keyFields(family, space)];
  const chosen: Rule[] =
    pick.algorithm === 'chosen' ? [[destinationNat(family, fields, setOf(space, 'chosen'))]] : [];
  const rules: Rule[] = [...chosen, ...indexFields(pick, offset, family).map((index) => [at(index)])];
  return {
    name: pickChainName(space, from, pick),
    rules: [...rules, [goTo(space === 'vip' ? 'refuse' : 'refuse-node-port')]],
  };
}

function indexFields({ algorithm, size }: Pick, offset: number, family: IpFamily): readonly Field[] {
  const range = { modulus: size, offset };
  const { sourceAddress } = FIELDS[family];
  switch (algorithm) {
    case 'round-robin':
      return [numberField('next in turn', range)];
    case 'source-hash':
    case 'maglev':
      return [hashField([sourceAddress], range)];
    case 'random':
    case 'chosen': {
      const draw = numberField('random', range);
      // 1 and 2 have no empty index.
      if (size <= 2) return [draw];
      const last = numberField('random', { modulus: Math.ceil(size / 2), offset });
      return [...Array.from({ length: TRIES }, () => draw), last];
    }
  }
}

export function keyFields(family: IpFamily, space: Space): readonly Field[] {
  const nodePort = [L4_PROTOCOL, DESTINATION_PORT];
  return space === 'vip' ? [FIELDS[family].destinationAddress, ...nodePort] : nodePort;
}

function setOf(space: Space, set: 'short-circuits' | 'endpoints' | 'chosen' | 'affinity'): SetName {
  return space === 'vip' ? set : `node-port-${set}`;
}

function fromPod(family: IpFamily, comparison: Comparison, local: LocalTraffic): Statement {
  return local.by === 'source'
    ? prefix(FIELDS[family].sourceAddress, comparison, local.cidr)
    : inputInterface(comparison, local.name);
}
