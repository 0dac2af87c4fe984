/**
 * Configurations that are valid but doubtful on this node: what kube-proxy warns about at its start.
 */
import { type Cidr, familyOf, type IpAddress, type IpFamily, isUnspecified } from '../../net/ip.js';
import { resolveNodePortAddresses } from '../../net/nodePortAddresses.js';
import type { NodeConfig } from '../NodeConfig.js';

/** What is known about the node when the agent starts. */
export interface NodeNetwork {
  readonly primaryFamily: IpFamily;
  /** The families that the kernel of this host offers. */
  readonly supportedFamilies: readonly IpFamily[];
  readonly nodeIPs: Readonly<Partial<Record<IpFamily, IpAddress>>>;
  /** Node.spec.podCIDRs; undefined while the Node object is not known. */
  readonly podCIDRs: readonly Cidr[] | undefined;
}

export interface ConfigWarning {
  /** `fatal`: the agent must not start. */
  readonly severity: 'warning' | 'fatal';
  readonly message: string;
}

export function configWarnings(config: NodeConfig, node: NodeNetwork): readonly ConfigWarning[] {
  return [
    ...ignoredWarnings(config),
    ...nodePortWarnings(config, node),
    ...podWarnings(config, node),
    ...familyWarnings(config, node),
  ];
}

function* ignoredWarnings(config: NodeConfig): Generator<ConfigWarning> {
  const names = config.unknownFeatureGates;
  if (names.length > 0)
    yield warning(`featureGates ${names.join(', ')} mean nothing to penstock and are ignored`);
  for (const { field, why } of config.ignoredFields) yield warning(`${field} has no effect: ${why}`);
}

/** It comes into force when it arrives; until then every pod is treated as a stranger. */
function* podWarnings({ detectLocal }: NodeConfig, { podCIDRs }: NodeNetwork): Generator<ConfigWarning> {
  if (detectLocal.type !== 'NodeCIDR' || podCIDRs === undefined || podCIDRs.length > 0) return;
  yield warning(
    'detectLocalMode is NodeCIDR, but the Node object has no spec.podCIDRs yet: traffic of pods is not recognised until it has',
  );
}

function* nodePortWarnings(config: NodeConfig, node: NodeNetwork): Generator<ConfigWarning> {
  const cidrs = resolveNodePortAddresses(config.nodePortAddresses, node.nodeIPs);
  const other = otherFamily(node.primaryFamily);
  const primaryCount = cidrs.filter((cidr) => familyOf(cidr) === node.primaryFamily).length;
  const lists = [config.clusterCIDRs, cidrs, config.ipvs.excludeCIDRs, node.podCIDRs ?? []];
  if (cidrs.length === 0 && config.nodePortAddresses === 'primary') {
    yield warning(
      'nodePortAddresses is "primary", but no address of this node is known: node ports are open on every address until one is',
    );
  } else if (cidrs.length === 0) {
    yield warning(
      'nodePortAddresses is empty: node ports are open on every address of this node; ' +
        'set it to ["primary"] to open them on the node IPs only',
    );
  } else if (primaryCount === cidrs.length && lists.some(isDualStack)) {
    yield warning(
      `nodePortAddresses has only ${node.primaryFamily} ranges, but the cluster seems to be dual-stack: ` +
        `node ports are open on every ${other} address of this node`,
    );
  } else if (primaryCount === 0) {
    yield warning(
      `nodePortAddresses has only ${other} ranges, but the node's primary family is ${node.primaryFamily}: ` +
        `node ports are open on every ${node.primaryFamily} address of this node`,
    );
  }
}

function* familyWarnings(config: NodeConfig, node: NodeNetwork): Generator<ConfigWarning> {
  const wrong = otherFamily(node.primaryFamily);
  const isSingleStack = node.supportedFamilies.length < 2;
  const cluster = `the cluster is ${node.primaryFamily}${isSingleStack ? ' only' : ' first'}`;
  if (areAll(config.clusterCIDRs, wrong)) {
    const isFatal = config.detectLocal.type === 'ClusterCIDR' && isSingleStack;
    const message = `clusterCIDR has only ${wrong} ranges, but ${cluster}`;
    yield isFatal ? { severity: 'fatal', message } : warning(message);
  }
  if (areAll(node.podCIDRs ?? [], wrong)) {
    const isFatal = config.detectLocal.type === 'NodeCIDR';
    const message = `the node's spec.podCIDRs has only ${wrong} ranges, but ${cluster}`;
    yield isFatal ? { severity: 'fatal', message } : warning(message);
  }
  if (!isSingleStack) return;
  if (areAll(config.ipvs.excludeCIDRs, wrong)) {
    yield warning(`ipvs.excludeCIDRs has only ${wrong} ranges, but ${cluster}`);
  }
  const servers = { healthzBindAddress: config.healthz, metricsBindAddress: config.metrics };
  for (const [field, server] of Object.entries(servers)) {
    if (server && familyOf(server.host) === wrong && !isUnspecified(server.host)) {
      yield warning(`${field} ${server.host} is an ${wrong} address, but ${cluster}`);
    }
  }
}

function warning(message: string): ConfigWarning {
  return { severity: 'warning', message };
}

function otherFamily(family: IpFamily): IpFamily {
  return family === 'IPv4' ? 'IPv6' : 'IPv4';
}

/** A list that has ranges, all of them of the family. */
function areAll(cidrs: readonly Cidr[], family: IpFamily): boolean {
  return cidrs.length > 0 && cidrs.every((cidr) => familyOf(cidr) === family);
}

/** A list with ranges of both families. */
function isDualStack(cidrs: readonly Cidr[]): boolean {
  return new Set(cidrs.map(familyOf)).size === 2;
}
