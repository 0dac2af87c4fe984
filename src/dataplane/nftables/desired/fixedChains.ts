/** The chains that every table has: where packets enter, and what is the same for all Services. */
import {
  DESTINATION_PORT,
  FIELDS,
  L4_PROTOCOL,
  ORIGINAL_DESTINATION_PORT,
} from '../../../kernel/nftables/fields.js';
import { IS_FROM_CLIENT, IS_NEW } from '../../../kernel/nftables/queueing.js';
import {
  ACCEPT,
  clearMark,
  DROP,
  FOR_OTHER_SOCKET,
  FOR_TRANSPARENT_SOCKET,
  goTo,
  HAS_DESTINATION_NAT,
  hasTcpFlags,
  inMap,
  inputInterface,
  inSet,
  isEchoRequest,
  isLocalAddress,
  isMarked,
  isProtocol,
  jumpTo,
  logTo,
  MASQUERADE,
  prefix,
  RESET,
  type Rule,
  redirect,
  reject,
  setMark,
  TCP_SYN,
  updateMap,
  verdictMap,
} from '../../../kernel/nftables/statements.js';
import type { ChainSpec } from '../../../kernel/nftables/Transaction.js';
import type { Cidr, IpFamily } from '../../../net/ip.js';
import type { NftablesSettings } from './NftablesSettings.js';
import { keyFields } from './pickChains.js';
import { DEFAULT_CHAIN, OUTSIDE_RANGES } from './ServiceChain.js';
import { affinitySet, type SetName } from './sets.js';

/**
 * NF_IP_PRI_NAT_DST and NF_IP_PRI_NAT_SRC, where kube-proxy's rules are in every mode. Of several NAT chains the first that
 * translates a connection decides; of those at one priority that would be the one made last.
 */
const DESTINATION_NAT = -100;
const SOURCE_NAT = 100;
/** How far before those of kube-proxy the chains of a running agent are, and behind them those of one that has ended. */
const DISTANCE: Readonly<Record<NftablesSettings['stance'], number>> = { first: -5, behind: 5 };
/** NF_IP_PRI_MANGLE: before routing looks at the mark. */
const MANGLE = -150;

/** NF_IP_PRI_FILTER. */
const FILTER = 0;
/** The first packet of either direction. */
const IS_SYN = hasTcpFlags('tcp flags & syn == syn', TCP_SYN, TCP_SYN);

/** Session affinity of a time for a protocol: one rule each. */
export interface AffinityTime {
  readonly seconds: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
}

/** Empty chains for the administrator's own rules: made when they are missing, never changed. */
const ADMIN_CHAINS: readonly string[] = ['admin-pre', 'admin-post'];

const LOOPBACK: Readonly<Record<IpFamily, Cidr>> = { IPv4: '127.0.0.0/8' as Cidr, IPv6: '::1/128' as Cidr };

/** In the order in which they refer to each other: who is named comes first. */
export function fixedChains(
  settings: NftablesSettings,
  affinity: readonly AffinityTime[],
): readonly ChainSpec[] {
  const { family } = settings;
  const nat = (hook: 'prerouting' | 'output' | 'postrouting' | 'input') => ({
    type: 'nat' as const,
    hook,
    priority:
      (hook === 'prerouting' || hook === 'output' ? DESTINATION_NAT : SOURCE_NAT) + DISTANCE[settings.stance],
  });
  const learning: ChainSpec[] =
    affinity.length === 0
      ? []
      : [
          { name: 'learn-affinity', rules: learningRules(family, affinity) },
          // Endpoints on this host itself are reached through input, not postrouting.
          { name: 'nat-input', hook: nat('input'), rules: [[HAS_DESTINATION_NAT, jumpTo('learn-affinity')]] },
        ];
  return [
    ...ADMIN_CHAINS.map((name) => ({ name, rules: [] })),
    refuse('refuse', 'vip', 'drop-services', settings),
    refuse('refuse-node-port', 'node-port', 'drop-node-ports', settings),
    { name: 'refuse-unknown-port', rules: [...logged(settings, [], 'unknown-port'), ...refusal(family)] },
    { name: 'drop-unused-ip', rules: [...logged(settings, [], 'no-such-cluster-ip'), [DROP]] },
    { name: OUTSIDE_RANGES, rules: [...logged(settings, [], 'source-range'), [DROP]] },
    { name: 'services', rules: servicesRules(settings) },
    {
      name: 'service',
      rules: [[verdictMap(keyFields(family, 'vip'), 'service-chains')], [goTo(DEFAULT_CHAIN)]],
    },
    ...learning,
    ...divertChain(settings),
    ...untranslatedChain(settings),
    { name: 'nat-prerouting', hook: nat('prerouting'), rules: [[goTo('services')]] },
    {
      name: 'nat-output',
      hook: nat('output'),
      rules: [...ownRules(settings), ...localhostRules(settings), [goTo('services')]],
    },
    {
      name: 'nat-postrouting',
      hook: nat('postrouting'),
      rules: [
        ...(learning.length === 0 ? [] : [[HAS_DESTINATION_NAT, jumpTo('learn-affinity')]]),
        ...masqueradeRules(settings),
      ],
    },
  ];
}

/**
 * What is sent to a cluster IP and arrives as it is, is for the proxy. Without a proxy it is refused here: a server of this host that
 * listens on all addresses must not have it. No NAT chain: those of input do not see what the host itself sends. Where the kernel
 * remembers a connection of the same two ends that is over (TIME-WAIT), that is what it finds: then the server's answer is dropped.
 */
function untranslatedChain({ family, untranslated }: NftablesSettings): readonly ChainSpec[] {
  if (untranslated.length === 0) return [];
  const { sourceAddress, destinationAddress } = FIELDS[family];
  const refused = untranslated.flatMap((cidr): Rule[] => {
    const arrives = [prefix(destinationAddress, 'is', cidr), IS_NEW];
    return [
      [...arrives, FOR_TRANSPARENT_SOCKET, ACCEPT],
      ...refusal(family).map((rule) => [...arrives, ...rule]),
    ];
  });
  const answers = untranslated.flatMap((cidr): Rule[] => {
    // SYN cookies are sent without a socket, and pass: no rule about sockets holds for them.
    const begins = [prefix(sourceAddress, 'is', cidr), isProtocol('tcp'), IS_SYN];
    return [[...begins, FOR_OTHER_SOCKET, DROP]];
  });
  const filter = (hook: 'input' | 'output') => ({ type: 'filter' as const, hook, priority: FILTER });
  return [
    { name: 'untranslated', hook: filter('input'), rules: refused },
    { name: 'untranslated-answers', hook: filter('output'), rules: answers },
  ];
}

/**
 * Answers to connections that bear a client's address must come to us, not to the client. To find a packet's socket is the dearest
 * thing here, so what is plainly no such answer is let go first: what this host sends itself, what is for a cluster IP as it is, and
 * what was translated on its way from a client.
 */
function divertChain({ family, divertMark, untranslated }: NftablesSettings): readonly ChainSpec[] {
  if (divertMark === 0) return [];
  const { destinationAddress } = FIELDS[family];
  return [
    {
      name: 'divert',
      hook: { type: 'filter', hook: 'prerouting', priority: MANGLE },
      rules: [
        [inputInterface('is', 'lo'), ACCEPT],
        ...untranslated.map((cidr): Rule => [prefix(destinationAddress, 'is', cidr), ACCEPT]),
        [IS_FROM_CLIENT, HAS_DESTINATION_NAT, ACCEPT],
        [FOR_TRANSPARENT_SOCKET, setMark(divertMark)],
      ],
    },
  ];
}

/**
 * Only the first packet of a connection comes here (nat chains see no other). A VIP is looked up once; what is no VIP
 * may be a node port, a ping, or a mistake.
 */
function servicesRules(settings: NftablesSettings): Rule[] {
  const { family, answerPing, serviceCIDRs } = settings;
  const { destinationAddress } = FIELDS[family];
  const toClusterIP = inSet([destinationAddress], 'is', 'cluster-ips');
  const nodePort = verdictMap(keyFields(family, 'node-port'), 'node-ports');
  // Nobody else can have a cluster IP. Other VIPs may be addresses of hosts, which are to answer for themselves.
  const ping: Rule[] = answerPing ? [[toClusterIP, isEchoRequest(family), redirect()]] : [];
  return [
    [jumpTo('admin-pre')],
    [inMap(keyFields(family, 'vip'), 'service-ips'), goTo('service')],
    settings.nodePortAddresses === 'all'
      ? [isLocalAddress('daddr'), prefix(destinationAddress, 'is not', LOOPBACK[family]), nodePort]
      : [inSet([destinationAddress], 'is', 'node-port-ips'), nodePort],
    ...ping,
    // Ports that no Service has.
    [toClusterIP, goTo('refuse-unknown-port')],
    ...serviceCIDRs.map((cidr): Rule => [prefix(destinationAddress, 'is', cidr), goTo('drop-unused-ip')]),
    [jumpTo('admin-post')],
  ];
}

/** No endpoint was found: silence where others may serve (policy Local), a refusal where nobody does. */
function refuse(
  name: string,
  space: 'vip' | 'node-port',
  set: SetName,
  settings: NftablesSettings,
): ChainSpec {
  const { family } = settings;
  const isDropped = inSet(keyFields(family, space), 'is', set);
  return {
    name,
    rules: [
      ...logged(settings, [isDropped], 'no-local-endpoints'),
      [isDropped, DROP],
      ...logged(settings, [], 'no-endpoints'),
      ...refusal(family),
    ],
  };
}

/** For TCP a reset: firewalls like to drop ICMP. */
function refusal(family: IpFamily): Rule[] {
  return [[isProtocol('tcp'), RESET], [reject(family)]];
}

/** A rule that tells whoever listens why the packet fails. Only what fails comes by. */
function logged({ logGroup }: NftablesSettings, match: Rule, reason: string): Rule[] {
  return logGroup === 0 ? [] : [[...match, logTo(logGroup, reason)]];
}

/** What a proxy of ours calls is meant as it is: sent to the proxy again it would go in circles. */
function ownRules({ ownMark }: NftablesSettings): Rule[] {
  return ownMark === 0 ? [] : [[isMarked(ownMark), ACCEPT]];
}

/** Packets from loopback cannot leave the host (route_localnet is off): the agent itself passes these on. */
function localhostRules({ family, localhostPorts }: NftablesSettings): Rule[] {
  const toLoopback = prefix(FIELDS[family].destinationAddress, 'is', LOOPBACK[family]);
  const nodePort = keyFields(family, 'node-port');
  const isNodePort = inSet(nodePort, 'is', 'localhost-node-ports');
  const rules: Rule[] = [];
  for (const protocol of ['tcp', 'udp'] as const) {
    const port = localhostPorts[protocol];
    if (port !== undefined) rules.push([toLoopback, isProtocol(protocol), isNodePort, redirect(port)]);
  }
  // Refused before it is accepted: whoever only connects must not take the Service for alive.
  if (rules.length > 0) {
    rules.push([toLoopback, inSet(nodePort, 'is', 'localhost-refused'), goTo('refuse-node-port')]);
  }
  return rules;
}

function masqueradeRules({ family, masqueradeMark }: NftablesSettings): Rule[] {
  if (masqueradeMark === 0) return [];
  const { sourceAddress, destinationAddress } = FIELDS[family];
  return [
    [isMarked(masqueradeMark), clearMark(masqueradeMark), MASQUERADE],
    // A pod that reaches itself through a Service must see another source than its own.
    [HAS_DESTINATION_NAT, inSet([sourceAddress, destinationAddress], 'is', 'hairpins'), MASQUERADE],
  ];
}

/**
 * Which endpoint a client was sent to is known here, after the fact: the destination now, for the client and VIP of the
 * original direction.
 */
function learningRules(family: IpFamily, affinity: readonly AffinityTime[]): Rule[] {
  const { destinationAddress, originalSourceAddress, originalDestinationAddress } = FIELDS[family];
  const port = [L4_PROTOCOL, ORIGINAL_DESTINATION_PORT];
  const data = [destinationAddress, DESTINATION_PORT];
  return affinity.flatMap(({ seconds, protocol }): Rule[] => [
    [
      isProtocol(protocol),
      inSet([originalDestinationAddress, ...port], 'is', affinitySet(family, 'services', seconds).name),
      updateMap('affinity', {
        key: [originalSourceAddress, originalDestinationAddress, ...port],
        data,
        seconds,
      }),
    ],
    [
      isProtocol(protocol),
      inSet([originalDestinationAddress], 'is', 'node-port-ips'),
      inSet(port, 'is', affinitySet(family, 'node-ports', seconds).name),
      updateMap('node-port-affinity', { key: [originalSourceAddress, ...port], data, seconds }),
    ],
  ]);
}
