/**
 * The iptables rules of one service port, in kube-proxy's words: chains, comments, order and options are its own.
 * Pure. The rules of shared chains and the chains of the service port's own are kept apart, because they change at
 * different times.
 */
import { append } from '../../../append.js';
import type { IpAddress } from '../../../net/ip.js';
import { CHOICE_MASK, choiceMarks, isChosenFor } from '../../../routing/choice.js';
import {
  type Endpoint,
  externalVerdict,
  internalVerdict,
  isExternallyAccessible,
  type ServicePort,
  type Verdict,
} from '../../../routing/ServicePort.js';
import * as chain from './chains.js';
import { lines } from './RuleCounts.js';
import { NFACCT_LOCALHOST_NODE_PORTS, type RuleSettings } from './RuleSettings.js';

/** A chain that holds the rules of many service ports: `table chain`. */
export type SharedChain =
  | 'filter KUBE-SERVICES'
  | 'filter KUBE-EXTERNAL-SERVICES'
  | 'filter KUBE-NODEPORTS'
  | 'filter KUBE-PROXY-FIREWALL'
  | 'nat KUBE-SERVICES'
  | 'nat KUBE-NODEPORTS';

export interface SharedRule {
  readonly chain: SharedChain;
  /** Without `-A chain`. */
  readonly rule: string;
}

/** A chain in table nat that belongs to this service port alone. */
export interface OwnChain {
  readonly name: string;
  /** Its rules as lines of iptables-restore input. */
  readonly text: string;
}

export interface RenderedServicePort {
  readonly shared: readonly SharedRule[];
  /**
   * A chain comes after the chains that it jumps to. Made when it is first read: in a full sync the tool is then
   * already at work on what came before.
   */
  readonly own: readonly OwnChain[];
  /** The number of own chains, known without making them. */
  readonly ownCount: number;
  /** The number of rules in own chains. Makes them, if nobody has read them yet. */
  readonly ownRules: number;
}

/** How much the rules explain themselves. Above 1,000 endpoints kube-proxy leaves out what costs the most. */
export type CommentStyle = 'full' | 'brief';

export function renderServicePort(
  port: ServicePort,
  settings: RuleSettings,
  comments: CommentStyle,
): RenderedServicePort {
  return new LazyRendering(port, settings, comments);
}

class LazyRendering implements RenderedServicePort {
  readonly shared: SharedRule[] = [];
  readonly ownCount: number;
  readonly #port: ServicePort;
  readonly #settings: RuleSettings;
  readonly #comments: CommentStyle;
  #own: OwnChain[] | undefined;
  #ownRules: number | undefined;
  /** `-m tcp -p tcp` */
  readonly #protocol: string;
  /** What the names of all its chains are made of. */
  readonly #hashInput: string;
  readonly #clusterChain: string;
  readonly #localChain: string;
  readonly #externalChain: string;
  readonly #firewallChain: string;

  constructor(port: ServicePort, settings: RuleSettings, comments: CommentStyle) {
    this.#port = port;
    this.#settings = settings;
    this.#comments = comments;
    const protocol = port.protocol.toLowerCase();
    this.#protocol = `-m ${protocol} -p ${protocol}`;
    // The four names differ in the prefix only: one hash serves all.
    this.#hashInput = `${port.name}${protocol}`;
    const hash = chain.hash16(this.#hashInput);
    this.#clusterChain = `KUBE-SVC-${hash}`;
    this.#localChain = `KUBE-SVL-${hash}`;
    this.#externalChain = `KUBE-EXT-${hash}`;
    this.#firewallChain = `KUBE-FW-${hash}`;
    this.#clusterIpRules();
    this.#externalIpRules();
    this.#loadBalancerRules();
    this.#nodePortRules();
    this.#healthCheckRule();
    const { cluster, local, reachable } = port.endpoints;
    const chains = [cluster.length > 0, local.length > 0, this.#usesExternalChain, this.#usesFirewall];
    this.ownCount = reachable.length + chains.filter(Boolean).length;
  }

  get own(): readonly OwnChain[] {
    this.#own ??= this.#ownChains();
    return this.#own;
  }

  get ownRules(): number {
    this.#ownRules ??= this.own.reduce((sum, { text }) => sum + lines(text), 0);
    return this.#ownRules;
  }

  #ownChains(): OwnChain[] {
    const { cluster, local } = this.#port.endpoints;
    const chains: OwnChain[] = [];
    const names = this.#endpointChains(chains);
    if (cluster.length > 0) chains.push(this.#policyChain('Cluster', this.#clusterChain, cluster, names));
    if (local.length > 0) chains.push(this.#policyChain('Local', this.#localChain, local, names));
    if (this.#usesExternalChain) chains.push(ownChain(this.#externalChain, this.#externalChainRules()));
    if (this.#usesFirewall) chains.push(ownChain(this.#firewallChain, this.#firewallChainRules()));
    return chains;
  }

  get #usesExternalChain(): boolean {
    return this.#port.endpoints.any && isExternallyAccessible(this.#port);
  }

  get #usesFirewall(): boolean {
    const { endpoints, loadBalancerIPs, sourceRanges } = this.#port;
    return endpoints.any && loadBalancerIPs.length > 0 && sourceRanges.length > 0;
  }

  #addShared(shared: SharedChain, rule: string): void {
    this.shared.push({ chain: shared, rule });
  }

  /** `-m comment --comment "… cluster IP" -m tcp -p tcp -d 10.0.0.1 --dport 80` */
  #matchVip(comment: string, vip: IpAddress): string {
    return `-m comment --comment "${comment}" ${this.#protocol} -d ${vip} --dport ${this.#port.port}`;
  }

  #refusal(verdict: Verdict): { comment: string; target: string } {
    return verdict === 'reject'
      ? { comment: `${this.#port.name} has no endpoints`, target: 'REJECT' }
      : { comment: `${this.#port.name} has no local endpoints`, target: 'DROP' };
  }

  #clusterIpRules(): void {
    const { clusterIP, name, internalPolicy } = this.#port;
    if (clusterIP === undefined) return;
    const verdict = internalVerdict(this.#port);
    if (verdict === 'forward') {
      const target = internalPolicy === 'Local' ? this.#localChain : this.#clusterChain;
      this.#addShared('nat KUBE-SERVICES', `${this.#matchVip(`${name} cluster IP`, clusterIP)} -j ${target}`);
    } else {
      const { comment, target } = this.#refusal(verdict);
      this.#addShared('filter KUBE-SERVICES', `${this.#matchVip(comment, clusterIP)} -j ${target}`);
    }
  }

  #externalIpRules(): void {
    const { externalIPs, endpoints, name } = this.#port;
    for (const ip of externalIPs) {
      if (endpoints.any) {
        const match = this.#matchVip(`${name} external IP`, ip);
        this.#addShared('nat KUBE-SERVICES', `${match} -j ${this.#externalChain}`);
      }
      this.#refuseExternally((comment) => this.#matchVip(comment, ip));
    }
  }

  #loadBalancerRules(): void {
    const { loadBalancerIPs, endpoints, name } = this.#port;
    for (const vip of loadBalancerIPs) {
      if (endpoints.any) {
        const target = this.#usesFirewall ? this.#firewallChain : this.#externalChain;
        this.#addShared(
          'nat KUBE-SERVICES',
          `${this.#matchVip(`${name} loadbalancer IP`, vip)} -j ${target}`,
        );
      }
      if (this.#usesFirewall) {
        const comment = `${name} traffic not accepted by ${this.#firewallChain}`;
        this.#addShared('filter KUBE-PROXY-FIREWALL', `${this.#matchVip(comment, vip)} -j DROP`);
      }
      this.#refuseExternally((comment) => this.#matchVip(comment, vip));
    }
  }

  #nodePortRules(): void {
    const { nodePort, endpoints, name } = this.#port;
    if (nodePort === 0) return;
    if (endpoints.any) {
      const match = `-m comment --comment ${name} ${this.#protocol}`;
      if (this.#settings.localhostNodePorts && this.#settings.accounting) {
        const counted = `-d 127.0.0.0/8 --dport ${nodePort} -m nfacct --nfacct-name ${NFACCT_LOCALHOST_NODE_PORTS}`;
        this.#addShared('nat KUBE-NODEPORTS', `${match} ${counted} -j ${this.#externalChain}`);
      }
      this.#addShared('nat KUBE-NODEPORTS', `${match} --dport ${nodePort} -j ${this.#externalChain}`);
    }
    this.#refuseExternally(
      (comment) =>
        `-m comment --comment "${comment}" -m addrtype --dst-type LOCAL ${this.#protocol} --dport ${nodePort}`,
    );
  }

  /** Traffic from outside that no endpoint may take. Clients in the cluster may still be served (policy Local). */
  #refuseExternally(match: (comment: string) => string): void {
    const verdict = externalVerdict(this.#port);
    if (verdict === 'forward') return;
    const { comment, target } = this.#refusal(verdict);
    this.#addShared('filter KUBE-EXTERNAL-SERVICES', `${match(comment)} -j ${target}`);
  }

  #healthCheckRule(): void {
    const { healthCheckNodePort, name } = this.#port;
    if (healthCheckNodePort === 0) return;
    const comment = `-m comment --comment "${name} health check node port"`;
    this.#addShared(
      'filter KUBE-NODEPORTS',
      `${comment} -m tcp -p tcp --dport ${healthCheckNodePort} -j ACCEPT`,
    );
  }

  #externalChainRules(): string[] {
    const { name, externalPolicy } = this.#port;
    const rules: string[] = [];
    const comment = (text: string) => `-m comment --comment "${text} for ${name} external destinations"`;
    if (externalPolicy === 'Cluster') {
      rules.push(`${comment('masquerade traffic')} -j ${chain.MARK_MASQ}`);
    } else {
      const local = this.#settings.localTraffic;
      // Whoever chooses does not know of this way: it chooses among endpoints here. By lot, then, among all.
      const forgetChoice = `-j MARK --set-xmark 0x0/0x${CHOICE_MASK.toString(16)}`;
      const isChosen = isChosenFor(this.#port);
      if (local && isChosen) rules.push(`${comment('pod traffic')} ${local.isLocal} ${forgetChoice}`);
      if (local) rules.push(`${comment('pod traffic')} ${local.isLocal} -j ${this.#clusterChain}`);
      rules.push(`${comment('masquerade LOCAL traffic')} -m addrtype --src-type LOCAL -j ${chain.MARK_MASQ}`);
      if (isChosen)
        rules.push(`${comment('route LOCAL traffic')} -m addrtype --src-type LOCAL ${forgetChoice}`);
      rules.push(`${comment('route LOCAL traffic')} -m addrtype --src-type LOCAL -j ${this.#clusterChain}`);
    }
    if (externalVerdict(this.#port) === 'forward') {
      rules.push(`-j ${externalPolicy === 'Local' ? this.#localChain : this.#clusterChain}`);
    }
    return rules;
  }

  #firewallChainRules(): string[] {
    const { name, sourceRanges, nodeInSourceRanges, loadBalancerIPs } = this.#port;
    const comment = `-m comment --comment "${name} loadbalancer IP"`;
    const allowed: string[] = [...sourceRanges];
    // The node reaches its own load-balancer IPs with that very IP as source.
    if (nodeInSourceRanges) append(allowed, loadBalancerIPs);
    return [
      ...allowed.map((source) => `${comment} -s ${source} -j ${this.#externalChain}`),
      `-m comment --comment "other traffic to ${name} will be dropped by ${chain.PROXY_FIREWALL}"`,
    ];
  }

  #policyChain(
    policy: 'Cluster' | 'Local',
    name: string,
    endpoints: readonly Endpoint[],
    endpointChains: ReadonlyMap<Endpoint, string>,
  ): OwnChain {
    const rules: string[] = [];
    if (policy === this.#port.internalPolicy) this.#clusterIpMasquerade(rules);
    const comment = (e: Endpoint) =>
      this.#comments === 'full' ? `-m comment --comment "${this.#port.name} -> ${e.target}" ` : '';
    const age = this.#port.affinitySeconds;
    if (age !== undefined) {
      for (const endpoint of endpoints) {
        const target = endpointChains.get(endpoint) as string;
        rules.push(
          `${comment(endpoint)}-m recent --name ${target} --rcheck --seconds ${age} --reap -j ${target}`,
        );
      }
    }
    if (isChosenFor(this.#port)) {
      const marks = choiceMarks(this.#port);
      for (const endpoint of endpoints) {
        const mark = `0x${marks.get(endpoint)?.toString(16)}/0x${CHOICE_MASK.toString(16)}`;
        rules.push(`${comment(endpoint)}-m mark --mark ${mark} -j ${endpointChains.get(endpoint)}`);
      }
    }
    endpoints.forEach((endpoint, i) => {
      const left = endpoints.length - i;
      const chance = left > 1 ? `-m statistic --mode random --probability ${(1 / left).toFixed(10)} ` : '';
      rules.push(`${comment(endpoint)}${chance}-j ${endpointChains.get(endpoint)}`);
    });
    return ownChain(name, rules);
  }

  #clusterIpMasquerade(rules: string[]): void {
    const { clusterIP, name } = this.#port;
    const { masqueradeAll, localTraffic } = this.#settings;
    if (clusterIP === undefined || internalVerdict(this.#port) !== 'forward') return;
    const match = this.#matchVip(`${name} cluster IP`, clusterIP);
    if (masqueradeAll) rules.push(`${match} -j ${chain.MARK_MASQ}`);
    else if (localTraffic) rules.push(`${match} ${localTraffic.isNotLocal} -j ${chain.MARK_MASQ}`);
  }

  /** Adds the chain of each reachable endpoint; returns their names. */
  #endpointChains(chains: OwnChain[]): Map<Endpoint, string> {
    const { name, affinitySeconds, endpoints } = this.#port;
    const comment = this.#comments === 'full' ? `-m comment --comment ${name} ` : '';
    const names = new Map<Endpoint, string>();
    for (const endpoint of endpoints.reachable) {
      const own = `KUBE-SEP-${chain.hash16(this.#hashInput + endpoint.target)}`;
      names.set(endpoint, own);
      const remember = affinitySeconds === undefined ? '' : `-m recent --name ${own} --set `;
      const rules = [
        `${comment}-s ${endpoint.address} -j ${chain.MARK_MASQ}`,
        `${comment}${remember}${this.#protocol} -j DNAT --to-destination ${endpoint.target}`,
      ];
      chains.push(ownChain(own, rules));
    }
    return names;
  }
}

function ownChain(name: string, rules: readonly string[]): OwnChain {
  const start = `-A ${name} `;
  return { name, text: `${start}${rules.join(`\n${start}`)}\n` };
}
