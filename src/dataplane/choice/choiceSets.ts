/**
 * The table that hands first packets to the program that chooses endpoints (docs/first-packet.md). It stands beside the rules of
 * modes nftables and iptables, which look for the mark that the program sets and draw by lot where there is none: without this
 * table, or without the program, they do what they do for every Service.
 */
import { INET_PROTOCOL, INET_SERVICE, ipKey, portKey, protocolKey } from '../../kernel/nftables/dataTypes.js';
import {
  DESTINATION_PORT,
  FIELDS,
  L4_PROTOCOL,
  ORIGINAL_DESTINATION_PORT,
  vipFields,
} from '../../kernel/nftables/fields.js';
import { IS_FIRST, IS_NEW, maskOutMark, type QueueBy, queueTo } from '../../kernel/nftables/queueing.js';
import { type SetSpec, typesOf } from '../../kernel/nftables/SetSpec.js';
import {
  goTo,
  inSet,
  isLocalAddress,
  isMarked,
  isProtocol,
  jumpTo,
  PROTOCOL_NUMBER,
  prefix,
  type Rule,
  type Statement,
} from '../../kernel/nftables/statements.js';
import type { ChainSpec } from '../../kernel/nftables/Transaction.js';
import type { Cidr, IpAddress, IpFamily } from '../../net/ip.js';
import { CHOICE_MASK, isChosenFor } from '../../routing/choice.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { KeyTableContent } from '../family/KeyTable.js';

/** The name of the table in each family. */
export const CHOICE_TABLE = 'penstock-choice';

/** Of a table that hands first packets to a queue. */
export interface QueueSettings {
  readonly family: IpFamily;
  readonly queue: number;
  /** How many, whose numbers follow; 1 unless given. */
  readonly queues?: number;
  readonly by: QueueBy;
  /** The kernel has no limits of packets (CONFIG_NFT_LIMIT). */
  readonly unlimited?: true;
  /** Of this node, in the family. */
  readonly nodeAddress: IpAddress | undefined;
}

type PlaceSet = 'services' | 'node-ports';

/** Of addresses with their ports, and of node ports. */
export function placeSets({ family }: Pick<QueueSettings, 'family'>): readonly SetSpec[] {
  return [
    { name: 'services', key: { types: typesOf({ fields: vipFields(family) }) } },
    { name: 'node-ports', key: { types: [INET_PROTOCOL, INET_SERVICE] } },
  ];
}

/** Between connection tracking (-200) and the NAT chains of every mode (-105 to -95), and right behind those. */
const BEFORE_NAT = -110;
const AFTER_NAT = -90;

/** What becomes of packets to what is in the sets; to node ports at addresses of the node within `nodePortRanges`, none: at all of them. */
export function placeRules(
  family: IpFamily,
  what: Statement,
  nodePortRanges: readonly Cidr[] = [],
): readonly Rule[] {
  const { destinationAddress } = FIELDS[family];
  const isService = inSet(vipFields(family), 'is', 'services');
  const isNodePort = inSet([L4_PROTOCOL, DESTINATION_PORT], 'is', 'node-ports');
  const here = isLocalAddress('daddr');
  const places = nodePortRanges.map((range) => [prefix(destinationAddress, 'is', range)]);
  return [
    [isService, what],
    ...(places.length === 0 ? [[]] : places).map((place) => [here, ...place, isNodePort, what]),
  ];
}

/** Who is named comes first. */
export function choiceChains({ family, queue, queues, by }: QueueSettings): readonly ChainSpec[] {
  const { originalDestinationAddress } = FIELDS[family];
  const wasService = [originalDestinationAddress, L4_PROTOCOL, ORIGINAL_DESTINATION_PORT];
  const wasNodePort = [L4_PROTOCOL, ORIGINAL_DESTINATION_PORT];
  const hook = (name: 'prerouting' | 'output', priority: number) =>
    ({ type: 'filter', hook: name, priority }) as const;
  const asked = placeRules(family, queueTo(queue, by, queues));
  // An established connection costs one comparison.
  const choosing: readonly Rule[] = [[IS_NEW, jumpTo('first-packets')]];
  const marked = isMarked(CHOICE_MASK);
  // The same bits on packets of others are others'.
  const clearing: readonly Rule[] = [
    [IS_NEW, marked, inSet(wasService, 'is', 'services'), maskOutMark(CHOICE_MASK)],
    [IS_NEW, marked, inSet(wasNodePort, 'is', 'node-ports'), maskOutMark(CHOICE_MASK)],
  ];
  return [
    { name: 'choose', rules: asked },
    {
      name: 'first-packets',
      // A first packet of TCP that comes again says that the endpoint is silent. Datagrams that nobody answers are no news.
      rules: [
        [isProtocol('tcp'), goTo('choose')],
        [IS_FIRST, goTo('choose')],
      ],
    },
    { name: 'arriving', hook: hook('prerouting', BEFORE_NAT), rules: choosing },
    { name: 'own', hook: hook('output', BEFORE_NAT), rules: choosing },
    { name: 'arriving-after', hook: hook('prerouting', AFTER_NAT), rules: clearing },
    { name: 'own-after', hook: hook('output', AFTER_NAT), rules: clearing },
  ];
}

const PROTOCOL = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;

/** Every address with its port, and the node port. */
export function* placeElements(port: ServicePort): Generator<readonly [PlaceSet, string]> {
  const protocol = protocolKey(PROTOCOL_NUMBER[PROTOCOL[port.protocol]]);
  const { clusterIP, externalIPs, loadBalancerIPs, nodePort } = port;
  const vips = new Set([...(clusterIP === undefined ? [] : [clusterIP]), ...externalIPs, ...loadBalancerIPs]);
  for (const vip of vips) yield ['services', ipKey(vip) + protocol + portKey(port.port)];
  if (nodePort !== 0) yield ['node-ports', protocol + portKey(nodePort)];
}

export const CHOICE_CONTENT: KeyTableContent<QueueSettings> = {
  name: CHOICE_TABLE,
  sets: placeSets,
  chains: choiceChains,
  elements: (port) => (isChosenFor(port) ? placeElements(port) : []),
};
