/**
 * The configuration as the rest of the program uses it: resolved for the mode, addresses canonical.
 */
import { PenstockError } from '../errors.js';
import { type Cidr, familyOf, type IpAddress, parseCidr, parseIp } from '../net/ip.js';
import type { LocalDetector } from '../net/LocalDetector.js';
import { NODE_PORT_WORDS, type NodePortAddresses } from '../net/nodePortAddresses.js';
import { readUnitName } from '../net/unitName.js';
import type { Milliseconds } from '../time/duration.js';
import { type FeatureGate, resolveFeatureGates, unknownFeatureGates } from './featureGates.js';
import { type IgnoredField, ignoredFields } from './file/ignoredFields.js';
import type {
  DEFAULT_ALGORITHMS,
  IptablesBackend,
  KubeProxyConfiguration,
  ProxyMode,
} from './file/KubeProxyConfiguration.js';
import { splitList } from './file/validateConfiguration.js';
import { type HostPort, parseHostPort } from './hostPort.js';
import { ANY_PORT, type PortRange, parsePortRange } from './portRange.js';

export interface NodeConfig {
  /** '' leaves the choice to the agent, which then resolves the configuration again with the mode it chose. */
  readonly mode: ProxyMode;
  /** Lower case, never empty. */
  readonly nodeName: string;
  /** Of the block of the mode; for mode '' and userspace of the iptables block, as in kube-proxy. */
  readonly sync: { readonly period: Milliseconds; readonly minPeriod: Milliseconds };
  readonly masqueradeAll: boolean;
  /** One bit of the packet mark, unsigned 32 bits. */
  readonly masqueradeMark: number;
  readonly localhostNodePorts: boolean;
  readonly detectLocal: LocalDetector;
  /** All of clusterCIDR, also when detectLocal does not use it. */
  readonly clusterCIDRs: readonly Cidr[];
  readonly nodePortAddresses: NodePortAddresses;
  readonly bindAddress: IpAddress;
  /** Undefined: no health server (`--healthz-port=0`). */
  readonly healthz: HostPort | undefined;
  readonly metrics: HostPort;
  readonly bindAddressHardFail: boolean;
  readonly enableProfiling: boolean;
  readonly showHiddenMetrics: boolean;
  readonly oomScoreAdj: number;
  /** Limits and timeouts for the kernel; 0 leaves the kernel's value alone. */
  readonly conntrack: KubeProxyConfiguration['conntrack'];
  readonly featureGates: Readonly<Record<FeatureGate, boolean>>;
  /** Gates that were set and have no meaning here. */
  readonly unknownFeatureGates: readonly string[];
  /** Fields that were set and change nothing. */
  readonly ignoredFields: readonly IgnoredField[];
  readonly ipvs: {
    readonly scheduler: string;
    readonly excludeCIDRs: readonly Cidr[];
    readonly strictARP: boolean;
    /** 0 leaves the kernel's value alone. */
    readonly tcpTimeout: Milliseconds;
    readonly tcpFinTimeout: Milliseconds;
    readonly udpTimeout: Milliseconds;
  };
  readonly userspace: {
    readonly portRange: PortRange;
    readonly udpIdleTimeout: Milliseconds;
    /** 0: one for each processor. */
    readonly threads: number;
    /** For connections to endpoints that no longer serve; 0: they go on as long as they like. */
    readonly drainTimeout: Milliseconds;
    /** For connections that are open when the agent stops. */
    readonly shutdownTimeout: Milliseconds;
    /** The listening sockets of a penstock that runs here already are inherited. */
    readonly takeover: boolean;
    /** Whose address endpoints see, unless the Service says it. */
    readonly sourceAddress: 'auto' | 'node' | 'transparent';
    /** Whether connections to cluster IPs come without NAT where the kernel can do it. */
    readonly socketLookup: 'auto' | 'off';
  };
  readonly clientConnection: KubeProxyConfiguration['clientConnection'];
  readonly configSyncPeriod: Milliseconds;
  readonly logging: Omit<KubeProxyConfiguration['logging'], 'options'>;
  /** Folder or file of manifests to serve instead of an API server; '' for none. */
  readonly manifests: string;
  /** Only services with this label value of service.kubernetes.io/service-proxy-name; '' for those without the label. */
  readonly serviceProxyName: string;
  /** Of Services that name none; '' leaves it to the mode. Mode ipvs has its scheduler. */
  readonly algorithm: (typeof DEFAULT_ALGORITHMS)[number];
  readonly iptablesBackend: IptablesBackend;
  /** How often changes that others made to the kernel's rules are looked for. */
  readonly verifyPeriod: Milliseconds;
  /** The node is to be left to another proxy, as soon as its rules are in force. */
  readonly leave: boolean;
  /** Mode nftables: the node answers ICMP echo requests to VIPs. */
  readonly answerPing: boolean;
  /** Mode nftables: service ports count their connections. */
  readonly serviceCounters: boolean;
  /** How many service ports have metrics of their own; 0: no service port has any. */
  readonly serviceMetricsLimit: number;
  /** Mode userspace: how many endpoints have metrics of their own; 0: none has. */
  readonly endpointMetricsLimit: number;
  /** The page, on loopback; undefined: none. */
  readonly web: HostPort | undefined;
  /** This machine is no node: it balances LoadBalancer Services over the node ports of the nodes. */
  readonly externalBalancer: {
    readonly serve: boolean;
    /** Of this machine, for Services that have no address of their own. */
    readonly addresses: readonly IpAddress[];
  };
  readonly wake: {
    /** Connections of the node itself wake Services as well. */
    readonly ownPackets: boolean;
    /** URL that is told of Services that want to wake, or may sleep; '' for none. */
    readonly webhook: string;
    /** Units of systemd that may be started and stopped, with their suffix. */
    readonly units: readonly string[];
    /** Nodes tell each other, by Leases, which Services have connections. */
    readonly share: boolean;
    /** Deployments and StatefulSets may be given their first replica. */
    readonly scale: boolean;
  };
  readonly loadBalancer: {
    /** Whether this node announces the addresses of LoadBalancer Services. */
    readonly announce: boolean;
    /** Names; none: those with an address that are no containers'. */
    readonly interfaces: readonly string[];
    /** Packets for Services of policy Local go on to the nodes with endpoints. */
    readonly twoTiers: boolean;
    /** UDP, the same on all nodes. */
    readonly heartbeatPort: number;
    readonly leaseNamespace: string;
    /** Also a node with the label exclude-from-external-load-balancers announces. */
    readonly ignoreExcludeLabel: boolean;
    /** Without a cluster: who may announce, this node among them. */
    readonly nodes: readonly { readonly name: string; readonly addresses: readonly IpAddress[] }[];
  };
}

/** Resolves a valid configuration. `hostname` is the operating system's name of this machine. */
export function toNodeConfig(source: KubeProxyConfiguration, hostname: string): NodeConfig {
  const { mode, ipvs, logging, penstock } = source;
  const syncBlock = mode === 'ipvs' || mode === 'nftables' ? source[mode] : source.iptables;
  const markBlock = mode === 'nftables' ? source.nftables : source.iptables;
  return {
    mode,
    nodeName: nodeNameOf(source.hostnameOverride || hostname),
    sync: { period: syncBlock.syncPeriod, minPeriod: syncBlock.minSyncPeriod },
    masqueradeAll: markBlock.masqueradeAll,
    masqueradeMark: (1 << markBlock.masqueradeBit) >>> 0,
    localhostNodePorts: source.iptables.localhostNodePorts,
    detectLocal: detectLocalOf(source),
    clusterCIDRs: cidrsOf(splitList(source.clusterCIDR)),
    nodePortAddresses: nodePortAddressesOf(source),
    bindAddress: validated('bindAddress', parseIp(source.bindAddress)),
    healthz: parseHostPort(source.healthzBindAddress),
    metrics: validated('metricsBindAddress', parseHostPort(source.metricsBindAddress)),
    bindAddressHardFail: source.bindAddressHardFail,
    enableProfiling: source.enableProfiling,
    showHiddenMetrics: source.showHiddenMetricsForVersion !== '',
    oomScoreAdj: source.oomScoreAdj,
    conntrack: source.conntrack,
    featureGates: resolveFeatureGates(source.featureGates),
    unknownFeatureGates: unknownFeatureGates(source.featureGates),
    ignoredFields: ignoredFields(source),
    ipvs: {
      scheduler: ipvs.scheduler || 'rr',
      excludeCIDRs: cidrsOf(ipvs.excludeCIDRs),
      strictARP: ipvs.strictARP,
      tcpTimeout: ipvs.tcpTimeout,
      tcpFinTimeout: ipvs.tcpFinTimeout,
      udpTimeout: ipvs.udpTimeout,
    },
    userspace: {
      portRange: parsePortRange(source.portRange) ?? ANY_PORT,
      udpIdleTimeout: source.udpIdleTimeout,
      threads: penstock.proxyThreads,
      drainTimeout: penstock.drainTimeout,
      shutdownTimeout: penstock.shutdownTimeout,
      takeover: penstock.takeover,
      sourceAddress: penstock.sourceAddress,
      socketLookup: penstock.socketLookup,
    },
    clientConnection: source.clientConnection,
    configSyncPeriod: source.configSyncPeriod,
    logging: {
      format: logging.format,
      flushFrequency: logging.flushFrequency,
      verbosity: logging.verbosity,
      vmodule: logging.vmodule,
    },
    manifests: penstock.manifests,
    serviceProxyName: penstock.serviceProxyName,
    algorithm: penstock.algorithm,
    iptablesBackend: penstock.iptablesBackend,
    verifyPeriod: penstock.verifyPeriod,
    leave: penstock.leave,
    answerPing: penstock.answerPing,
    serviceCounters: penstock.serviceCounters,
    serviceMetricsLimit: penstock.serviceMetricsLimit,
    endpointMetricsLimit: penstock.endpointMetricsLimit,
    web: parseHostPort(penstock.web),
    externalBalancer: {
      serve: penstock.externalBalancer.serve,
      addresses: penstock.externalBalancer.addresses.flatMap((text) => parseIp(text) ?? []),
    },
    wake: { ...penstock.wake, units: penstock.wake.units.flatMap((text) => readUnitName(text) ?? []) },
    loadBalancer: {
      ...penstock.loadBalancer,
      nodes: penstock.loadBalancer.nodes.map(({ name, addresses }) => ({
        name: name.trim().toLowerCase(),
        addresses: addresses.flatMap((text) => parseIp(text) ?? []),
      })),
    },
  };
}

function nodeNameOf(name: string): string {
  const trimmed = name.trim().toLowerCase();
  if (trimmed !== '') return trimmed;
  throw new PenstockError('PENSTOCK_NODE_NAME_UNKNOWN', 'this machine has no host name', {
    remedy: 'Give the name of its Node object with --hostname-override.',
  });
}

function detectLocalOf(source: KubeProxyConfiguration): LocalDetector {
  switch (source.detectLocalMode) {
    case 'NodeCIDR':
      return { type: 'NodeCIDR' };
    case 'BridgeInterface':
      return { type: 'BridgeInterface', name: source.detectLocal.bridgeInterface };
    case 'InterfaceNamePrefix':
      return { type: 'InterfaceNamePrefix', prefix: source.detectLocal.interfaceNamePrefix };
    case 'ClusterCIDR': {
      const cidrs = cidrsOf(splitList(source.clusterCIDR));
      if (cidrs.length === 0) return { type: 'None' };
      return { type: 'ClusterCIDR', cidrs: Object.fromEntries(cidrs.map((cidr) => [familyOf(cidr), cidr])) };
    }
  }
}

function nodePortAddressesOf({ mode, nodePortAddresses }: KubeProxyConfiguration): NodePortAddresses {
  if (mode === 'nftables' && nodePortAddresses.length === 0) return 'primary';
  const list = nodePortAddresses.flatMap((text) => NODE_PORT_WORDS[text] ?? cidrsOf([text]));
  return list.length > 0 && list.every((each) => each === 'primary') ? 'primary' : [...new Set(list)];
}

/** The canonical ranges. Texts that are none occur only in fields the mode does not use. */
function cidrsOf(texts: readonly string[]): readonly Cidr[] {
  return texts.flatMap((text) => parseCidr(text) ?? []);
}

function validated<T>(field: string, value: T | undefined): T {
  if (value === undefined) throw new TypeError(`toNodeConfig needs a valid configuration: ${field} is not`);
  return value;
}
