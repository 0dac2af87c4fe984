/**
 * The table that hands first packets to the program that chooses endpoints (docs/first-packet.md). It stands beside the rules of
 * modes nftables and iptables, which look for the mark that the program sets and draw by lot where there is none: without this
 * table, or without the program, they do what they do for every Service.
 */
import {
  INET_PROTOCOL,
  INET_SERVICE,
  IPV4_ADDRESS,
  IPV6_ADDRESS,
  ipKey,
  portKey,
  protocolKey,
} from '../../kernel/nftables/dataTypes.js';
import {
  DESTINATION_PORT,
  FIELDS,
  L4_PROTOCOL,
  ORIGINAL_DESTINATION_PORT,
} from '../../kernel/nftables/fields.js';
import { IS_FIRST, IS_NEW, maskOutMark, type QueueBy, queueTo } from '../../kernel/nftables/queueing.js';
import type { SetSpec } from '../../kernel/nftables/SetSpec.js';
import {
  goTo,
  inSet,
  isLocalAddress,
  isMarked,
  isProtocol,
  jumpTo,
  PROTOCOL_NUMBER,
  type Rule,
} from '../../kernel/nftables/statements.js';
import type { ChainSpec } from '../../kernel/nftables/Transaction.js';
import type { IpFamily } from '../../net/ip.js';
import { CHOICE_MASK, isChosenFor } from '../../routing/choice.js';
import type { ServicePort } from '../../routing/ServicePort.js';

/** The name of the table in each family. */
export const CHOICE_TABLE = 'penstock-choice';

export interface ChoiceSettings {
  readonly family: IpFamily;
  readonly queue: number;
  readonly by: QueueBy;
}

type ChoiceSet = 'services' | 'node-ports';

export function choiceSets(family: IpFamily): readonly SetSpec[] {
  const address = family === 'IPv4' ? IPV4_ADDRESS : IPV6_ADDRESS;
  return [
    { name: 'services', key: { types: [address, INET_PROTOCOL, INET_SERVICE] } },
    { name: 'node-ports', key: { types: [INET_PROTOCOL, INET_SERVICE] } },
  ];
}

/** Between connection tracking (-200) and the NAT chains of every mode (-105 to -95), and right behind those. */
const BEFORE_NAT = -110;
const AFTER_NAT = -90;

/** Who is named comes first. */
export function choiceChains({ family, queue, by }: ChoiceSettings): readonly ChainSpec[] {
  const { destinationAddress, originalDestinationAddress } = FIELDS[family];
  const isService = inSet([destinationAddress, L4_PROTOCOL, DESTINATION_PORT], 'is', 'services');
  const isNodePort = inSet([L4_PROTOCOL, DESTINATION_PORT], 'is', 'node-ports');
  const wasService = [originalDestinationAddress, L4_PROTOCOL, ORIGINAL_DESTINATION_PORT];
  const wasNodePort = [L4_PROTOCOL, ORIGINAL_DESTINATION_PORT];
  const hook = (name: 'prerouting' | 'output', priority: number) =>
    ({ type: 'filter', hook: name, priority }) as const;
  const asked: readonly Rule[] = [
    [isService, queueTo(queue, by)],
    [isLocalAddress('daddr'), isNodePort, queueTo(queue, by)],
  ];
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

export function* choiceElements(port: ServicePort): Generator<readonly [ChoiceSet, string]> {
  if (!isChosenFor(port)) return;
  const protocol = protocolKey(PROTOCOL_NUMBER[PROTOCOL[port.protocol]]);
  const { clusterIP, externalIPs, loadBalancerIPs, nodePort } = port;
  const vips = new Set([...(clusterIP === undefined ? [] : [clusterIP]), ...externalIPs, ...loadBalancerIPs]);
  for (const vip of vips) yield ['services', ipKey(vip) + protocol + portKey(port.port)];
  if (nodePort !== 0) yield ['node-ports', protocol + portKey(nodePort)];
}
