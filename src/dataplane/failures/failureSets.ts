/**
 * A table that refuses nothing and forwards nothing: it tells whoever listens of new connections that the rules of modes iptables
 * and ipvs will refuse or drop. Those rules stay word for word kube-proxy's.
 *
 * Its chains are of type nat, which see only the first packet of a connection, and come after those of iptables: a packet that
 * was sent to an endpoint does not come by any more (nf_nat_inet_fn() ends there). So what works pays nothing. IPVS sends
 * packets on later; there the sets alone say who fails.
 */
import { INET_PROTOCOL, INET_SERVICE, IPV4_ADDRESS, IPV6_ADDRESS } from '../../kernel/nftables/dataTypes.js';
import { DESTINATION_PORT, FIELDS, L4_PROTOCOL } from '../../kernel/nftables/fields.js';
import type { SetSpec } from '../../kernel/nftables/SetSpec.js';
import {
  ACCEPT,
  inputInterface,
  inSet,
  isLocalAddress,
  logTo,
  prefix,
  type Rule,
  type Statement,
} from '../../kernel/nftables/statements.js';
import type { ChainSpec } from '../../kernel/nftables/Transaction.js';
import type { Cidr, IpFamily } from '../../net/ip.js';

/** The name of the table in each family. */
export const FAILURE_TABLE = 'penstock-failures';

/**
 * refused, dropped: cluster IPs. …-outside: other VIPs. restricted: load-balancer IPs with source ranges. vips, places: all VIPs,
 * and all with their ports.
 */
export type FailureSet =
  | 'refused'
  | 'dropped'
  | 'refused-outside'
  | 'dropped-outside'
  | 'refused-node-ports'
  | 'dropped-node-ports'
  | 'restricted'
  | 'source-ranges'
  | 'vips'
  | 'places';

export interface FailureSettings {
  readonly family: IpFamily;
  readonly mode: 'iptables' | 'ipvs';
  readonly logGroup: number;
  /** How pods are told from others; undefined: they cannot be. */
  readonly localTraffic:
    | { readonly by: 'source'; readonly cidr: Cidr }
    | { readonly by: 'interface'; readonly name: string }
    | undefined;
}

const ONLY_IPVS: readonly FailureSet[] = ['source-ranges', 'vips', 'places'];

export function knows({ mode }: Pick<FailureSettings, 'mode'>, set: FailureSet): boolean {
  return mode === 'ipvs' || !ONLY_IPVS.includes(set);
}

export function failureSets({ family, mode }: FailureSettings): SetSpec[] {
  const address = family === 'IPv4' ? IPV4_ADDRESS : IPV6_ADDRESS;
  const place = { key: { types: [address, INET_PROTOCOL, INET_SERVICE] } };
  const nodePort = { key: { types: [INET_PROTOCOL, INET_SERVICE] } };
  const all: readonly (SetSpec & { readonly name: FailureSet })[] = [
    { name: 'refused', ...place },
    { name: 'dropped', ...place },
    { name: 'refused-outside', ...place },
    { name: 'dropped-outside', ...place },
    { name: 'refused-node-ports', ...nodePort },
    { name: 'dropped-node-ports', ...nodePort },
    { name: 'restricted', ...place },
    {
      name: 'source-ranges',
      key: { types: [address, INET_PROTOCOL, INET_SERVICE, address] },
      kind: 'interval',
    },
    { name: 'vips', key: { types: [address] } },
    { name: 'places', ...place },
  ];
  return all.filter(({ name }) => knows({ mode }, name));
}

/** After those of iptables (NF_IP_PRI_NAT_DST, -100). */
const PRIORITY = -99;

export function failureChains(settings: FailureSettings): ChainSpec[] {
  const hook = (name: 'prerouting' | 'output') => ({ type: 'nat', hook: name, priority: PRIORITY }) as const;
  return [
    { name: 'arriving', hook: hook('prerouting'), rules: rules(settings, 'arriving') },
    { name: 'own', hook: hook('output'), rules: rules(settings, 'own') },
  ];
}

function rules(settings: FailureSettings, from: 'arriving' | 'own'): Rule[] {
  const { family, mode, logGroup, localTraffic } = settings;
  const { destinationAddress, sourceAddress } = FIELDS[family];
  const nodePort = [L4_PROTOCOL, DESTINATION_PORT];
  const place = [destinationAddress, ...nodePort];
  const isIn = (set: FailureSet) => inSet(place, 'is', set);
  const told = (reason: string, ...match: Statement[]): Rule[] => [
    [...match, logTo(logGroup, reason)],
    [...match, ACCEPT],
  ];
  const here = isLocalAddress('daddr');
  // As in kube-proxy, packets of the node itself to others' VIPs follow the routes in mode iptables.
  const outsideToo = mode === 'ipvs' || from === 'arriving';
  // IPVS serves the node and its pods under external policy Local; in mode iptables they do not come by here.
  const served = mode === 'ipvs' && localTraffic ? [[fromPod(family, localTraffic), ACCEPT]] : [];
  return [
    ...told('no-endpoints', isIn('refused')),
    ...told('no-local-endpoints', isIn('dropped')),
    ...(outsideToo ? told('no-endpoints', isIn('refused-outside')) : []),
    ...told('no-endpoints', here, inSet(nodePort, 'is', 'refused-node-ports')),
    ...(mode === 'ipvs'
      ? [
          ...told(
            'source-range',
            isIn('restricted'),
            inSet([...place, sourceAddress], 'is not', 'source-ranges'),
          ),
          ...told(
            'unknown-port',
            inSet([destinationAddress], 'is', 'vips'),
            inSet(place, 'is not', 'places'),
          ),
        ]
      : []),
    ...(from === 'arriving'
      ? [
          ...served,
          ...told('no-local-endpoints', isIn('dropped-outside')),
          ...told('no-local-endpoints', here, inSet(nodePort, 'is', 'dropped-node-ports')),
        ]
      : []),
    ...(mode === 'iptables' ? told('source-range', isIn('restricted')) : []),
  ];
}

function fromPod(family: IpFamily, local: NonNullable<FailureSettings['localTraffic']>): Statement {
  return local.by === 'source'
    ? prefix(FIELDS[family].sourceAddress, 'is', local.cidr)
    : inputInterface('is', local.name);
}
