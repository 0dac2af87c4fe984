/**
 * The rules of mode ipvs. They are the same whatever the Services are: what depends on those is in sets. Spelled as
 * iptables-save prints them, so that what is in force can be compared with what should be.
 *
 * kube-proxy writes a rule only while its set has elements; here all are always there, so that no change of a Service
 * starts a process.
 */
import type { IpFamily } from '../../../net/ip.js';
import { CLUSTER_CLIENT_TAG, tagOf } from '../desired/clusterClientMark.js';
import type { RuleSettings } from '../desired/IpvsSettings.js';
import { kernelName, LOCALHOST_REFUSED, NODE_PORT_SETS, SETS, type SetName } from '../desired/sets.js';
import * as chain from './chains.js';

/** Table → chain → its rules in order, without `-A CHAIN`. */
export type FixedRules = Readonly<Record<chain.Table, ReadonlyMap<string, readonly string[]>>>;

/** `dst,dst`: destination address and port; `dst,dst,src`: the source address too. */
type Directions = 'dst' | 'dst,dst' | 'src,dst' | 'dst,dst,src';

const LOOPBACK: Readonly<Record<IpFamily, string>> = { IPv4: '127.0.0.0/8', IPv6: '::1/128' };
const REJECT: Readonly<Record<IpFamily, string>> = {
  IPv4: 'REJECT --reject-with icmp-port-unreachable',
  IPv6: 'REJECT --reject-with icmp6-port-unreachable',
};

const fromHost = '-m addrtype --src-type LOCAL';
const toHost = '-m addrtype --dst-type LOCAL';

export function fixedRules(settings: RuleSettings): FixedRules {
  const rules = new RuleWriter(settings);
  return {
    nat: new Map([
      [chain.SERVICES, rules.services()],
      [chain.POSTROUTING, rules.postrouting()],
      [chain.NODE_PORT, rules.nodePorts()],
      [
        chain.LOAD_BALANCER,
        [rules.commented('KUBE-LOAD-BALANCER-LOCAL', 'dst,dst', 'RETURN'), `-j ${chain.MARK_MASQ}`],
      ],
      [chain.MARK_MASQ, [`-j MARK --set-xmark ${rules.mark}`]],
    ]),
    filter: new Map([
      [
        chain.FORWARD,
        [
          `-m comment --comment "kubernetes forwarding rules" -m mark --mark ${rules.mark} -j ACCEPT`,
          '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
        ],
      ],
      [chain.NODE_PORT, [rules.commented('KUBE-HEALTH-CHECK-NODE-PORT', 'dst', 'ACCEPT')]],
      [chain.PROXY_FIREWALL, [rules.commented('KUBE-LOAD-BALANCER-FW', 'dst,dst', chain.SOURCE_RANGES)]],
      [chain.SOURCE_RANGES, rules.sourceRanges()],
      [chain.IPVS_FILTER, rules.accessFilter()],
      // What leaves for an endpoint does not show its VIP any more; PENSTOCK-SOURCE-RANGES has looked at it before.
      [chain.OUT_FILTER, rules.localhostRefusals()],
    ]),
    mangle: new Map([
      [chain.POLICY, rules.policy()],
      [
        chain.CLUSTER_CLIENTS,
        [`-j SET --map-set ${rules.name('PENSTOCK-CLUSTER-CLIENTS')} dst,dst --map-mark`],
      ],
      [chain.OWN_SOURCE_RANGES, rules.sourceRanges()],
    ]),
  };
}

class RuleWriter {
  readonly #settings: RuleSettings;
  /** `0x4000/0x4000` */
  readonly mark: string;

  constructor(settings: RuleSettings) {
    this.#settings = settings;
    const mark = `0x${settings.masqueradeMark.toString(16)}`;
    this.mark = `${mark}/${mark}`;
  }

  name(set: SetName): string {
    return kernelName(set, this.#settings.family);
  }

  match(set: SetName, directions: Directions): string {
    return `-m set --match-set ${this.name(set)} ${directions}`;
  }

  /** `before`: matches that iptables-save prints before the comment. */
  commented(set: SetName, directions: Directions, target: string, before = ''): string {
    return `${before}-m comment --comment "${SETS[set].comment}" ${this.match(set, directions)} -j ${target}`;
  }

  services(): string[] {
    const { family, masqueradeAll, localTraffic } = this.#settings;
    const clusterIps = masqueradeAll
      ? this.commented('KUBE-CLUSTER-IP', 'dst,dst', chain.MARK_MASQ)
      : localTraffic
        ? this.commented('KUBE-CLUSTER-IP', 'dst,dst', chain.MARK_MASQ, `${localTraffic.isNotLocal} `)
        : this.commented('KUBE-CLUSTER-IP', 'src,dst', chain.MARK_MASQ);
    return [
      ...this.#localhost(),
      `-s ${LOOPBACK[family]} -j RETURN`,
      this.commented('KUBE-LOAD-BALANCER', 'dst,dst', chain.LOAD_BALANCER),
      clusterIps,
      this.commented('KUBE-EXTERNAL-IP', 'dst,dst', chain.MARK_MASQ),
      ...this.#acceptExternal('KUBE-EXTERNAL-IP'),
      ...this.#acceptExternal('KUBE-EXTERNAL-IP-LOCAL'),
      // kube-proxy has these two at the end: a VIP's port that is also somebody's node port would be masqueraded.
      `${this.match('KUBE-CLUSTER-IP', 'dst,dst')} -j ACCEPT`,
      `${this.match('KUBE-LOAD-BALANCER', 'dst,dst')} -j ACCEPT`,
      `${toHost} -j ${chain.NODE_PORT}`,
    ];
  }

  /** IPVS sends nothing from loopback to other hosts (ip_vs_xmit.c), so the agent passes such connections on. */
  #localhost(): string[] {
    return this.#localhostProtocols().flatMap(({ protocol, match, port }) => [
      `${match} ${this.match(LOCALHOST_REFUSED[protocol], 'dst')} -j RETURN`,
      `${match} ${this.match(NODE_PORT_SETS[protocol].all, 'dst')} -j REDIRECT --to-ports ${port}`,
    ]);
  }

  /** Refused before the agent accepts it: whoever only connects must not take the Service for alive. */
  localhostRefusals(): string[] {
    return this.#localhostProtocols().map(({ protocol, match }) => {
      const refused = this.match(LOCALHOST_REFUSED[protocol], 'dst');
      return `${match} -m conntrack --ctstate NEW ${refused} -j ${REJECT[this.#settings.family]}`;
    });
  }

  /** Those whose node ports the agent serves on loopback, with what is sent there, and its port. */
  #localhostProtocols() {
    const { family, localhostPorts } = this.#settings;
    const { tcp, udp } = localhostPorts;
    const match = `-s ${LOOPBACK[family]} -d ${LOOPBACK[family]} -p`;
    return [
      ...(tcp === undefined ? [] : [{ protocol: 'TCP', match: `${match} tcp`, port: tcp } as const]),
      ...(udp === undefined ? [] : [{ protocol: 'UDP', match: `${match} udp`, port: udp } as const]),
    ];
  }

  #acceptExternal(set: SetName): string[] {
    const rule = (match: string) => {
      const { comment } = SETS[set];
      return `-m comment --comment "${comment}" ${this.match(set, 'dst,dst')} ${match} -j ACCEPT`;
    };
    return [rule('-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL'), rule(toHost)];
  }

  postrouting(): string[] {
    const { masqueradeMark, randomFully } = this.#settings;
    const mark = `0x${masqueradeMark.toString(16)}`;
    const tag = tagOf(masqueradeMark);
    return [
      this.commented('KUBE-LOOP-BACK', 'dst,dst,src', 'MASQUERADE'),
      `-m mark --mark ${tag}/${CLUSTER_CLIENT_TAG} ${fromHost} -j MASQUERADE`,
      `-m mark ! --mark ${this.mark} -j RETURN`,
      // Clears the mark, so that the packet is not masqueraded again when it crosses a virtual device.
      `-j MARK --set-xmark ${mark}/0x0`,
      `-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE${randomFully ? ' --random-fully' : ''}`,
    ];
  }

  nodePorts(): string[] {
    return (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) => {
      const { all, local } = NODE_PORT_SETS[protocol];
      const directions = protocol === 'SCTP' ? 'dst,dst' : 'dst';
      const before = `-p ${protocol.toLowerCase()} `;
      return [
        this.commented(local, directions, 'RETURN', before),
        this.commented(all, directions, chain.MARK_MASQ, before),
      ];
    });
  }

  sourceRanges(): string[] {
    return [
      this.commented('KUBE-LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src', 'RETURN'),
      this.commented('KUBE-LOAD-BALANCER-SOURCE-IP', 'dst,dst,src', 'RETURN'),
      '-j DROP',
    ];
  }

  /** A VIP on kube-ipvs0 is an address of the host: only the ports of Services shall be reached at it. */
  accessFilter(): string[] {
    const allowed = (
      ['KUBE-LOAD-BALANCER', 'KUBE-CLUSTER-IP', 'KUBE-EXTERNAL-IP', 'KUBE-EXTERNAL-IP-LOCAL'] as const
    ).map((set) => `${this.match(set, 'dst,dst')} -j RETURN`);
    return [
      ...allowed,
      `${this.match('KUBE-HEALTH-CHECK-NODE-PORT', 'dst')} -j RETURN`,
      `-m conntrack --ctstate NEW ${this.match('KUBE-IPVS-IPS', 'dst')} -j ${REJECT[this.#settings.family]}`,
    ];
  }

  /** The clients of this host never come through filter before IPVS takes them, those from elsewhere do. */
  policy(): string[] {
    const { localTraffic } = this.#settings;
    const toClusterServer = `${this.match('PENSTOCK-CLUSTER-CLIENTS', 'dst,dst')} -g ${chain.CLUSTER_CLIENTS}`;
    return [
      `${fromHost} ${this.match('KUBE-LOAD-BALANCER-FW', 'dst,dst')} -j ${chain.OWN_SOURCE_RANGES}`,
      ...(localTraffic ? [`${localTraffic.isLocal} ${toClusterServer}`] : []),
      `${fromHost} ${toClusterServer}`,
      `${this.match('PENSTOCK-DROP', 'dst,dst')} -j DROP`,
    ];
  }
}
