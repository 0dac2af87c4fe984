/**
 * What the evaluator looks at: objects, the node, how the node is configured, and one packet. Addresses are canonical texts
 * (net/ip.ts). The folder shares no code with src/routing: an error there must not hide here as well.
 */
import type { Algorithm } from '../balancing/Balancing.js';
import type { IpFamily } from '../net/ip.js';
import type { LocalDetector } from '../net/LocalDetector.js';
import type { EndpointSlice } from '../objects/EndpointSlice.js';
import type { Protocol, Service } from '../objects/Service.js';

export type Mode = 'nftables' | 'iptables' | 'ipvs' | 'userspace';

export interface World {
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly nodeName: string;
  /** '' matches no hint. */
  readonly zone: string;
  /** The node's own address of each family. */
  readonly nodeAddresses: Readonly<Partial<Record<IpFamily, string>>>;
  /** First pod range of each family on the Node object. */
  readonly podCIDRs: Readonly<Partial<Record<IpFamily, string>>>;
  /** Every address of the machine; loopback is one of them always. */
  readonly hostAddresses: readonly string[];
  /** Where cluster IPs are taken from. */
  readonly serviceCIDRs?: readonly string[];
  /**
   * Where two tiers lead connections from outside that arrive here: the share (0..1) of each node, this one too. Undefined for what only
   * the rules of this node decide.
   */
  readonly ledOn?: (
    address: string,
    protocol: Protocol,
    port: number,
  ) => ReadonlyMap<string, number> | undefined;
  /** Services with this value of the label service.kubernetes.io/service-proxy-name are ours; absent: those without it. */
  readonly serviceProxyName?: string;
}

/** Of the configuration: what every mode is asked to do. */
export interface RuleOptions {
  readonly detectLocal: LocalDetector;
  readonly masqueradeAll: boolean;
  readonly localhostNodePorts: boolean;
  /** CIDRs; empty: everywhere. */
  readonly nodePortAddresses: readonly string[];
  /** They are the node's own because nodePortAddresses is `primary`, which does not exclude localhost in modes that pass it on. */
  readonly nodePortsOnPrimary?: boolean;
  /** Mode userspace: whose address endpoints see unless the Service says it. Absent: the node's. */
  readonly sourceAddress?: 'auto' | 'node' | 'transparent';
  /** Packets of the node itself wake Services that sleep, too. */
  readonly ownPacketsWake?: boolean;
  /** Of Services that name none. Absent: the mode's own. */
  readonly algorithm?: Algorithm;
}

export interface Rules extends RuleOptions {
  readonly mode: Mode;
}

export interface Flow {
  readonly origin: 'pod' | 'node' | 'external';
  readonly source: string;
  /** Where the packet enters; '' for packets of the node itself. Undefined: not known, `origin` decides who is a pod. */
  readonly interface: string | undefined;
  readonly protocol: Protocol;
  readonly destination: string;
  readonly port: number;
}

export function familyOfFlow(flow: Flow): IpFamily {
  return flow.destination.includes(':') ? 'IPv6' : 'IPv4';
}

export function isProtocol(text: string): text is Protocol {
  return text === 'TCP' || text === 'UDP' || text === 'SCTP';
}
