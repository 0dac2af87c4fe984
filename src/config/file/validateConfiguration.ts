/**
 * Which values of a decoded configuration make no sense. All faults are found, not only the first.
 * As in kube-proxy, the blocks of modes that are not in use are not checked; mode '' may become iptables or nftables.
 */

import { familyOf, isLoopback, parseCidr, parseIp } from '../../net/ip.js';
import { NODE_PORT_WORDS } from '../../net/nodePortAddresses.js';
import { readUnitName } from '../../net/unitName.js';
import { isWebAddress } from '../../net/webAddress.js';
import { formatDuration } from '../../time/duration.js';
import { featureGateFault, resolveFeatureGates } from '../featureGates.js';
import { parseHostPort } from '../hostPort.js';
import { parsePortRange } from '../portRange.js';
import { type ConfigFault, type FieldPath, pathOf, pathsOverlap, quote, valueAt } from './ConfigFault.js';
import type { KubeProxyConfiguration } from './KubeProxyConfiguration.js';

/** Kubernetes shows hidden metrics of the previous minor version only; penstock follows Kubernetes 1.36. */
const PREVIOUS_MINOR_VERSION = '1.35';
/** Longest interface name: IFNAMSIZ - 1, include/uapi/linux/if.h. */
const INTERFACE_NAME = /^[^\s/:"'\\]{1,15}$/;
/** iptables writes `prefix+` into the same 15 characters. */
const INTERFACE_PREFIX = /^[^\s/:"'\\]{1,14}$/;
/** A Kubernetes quantity. */
const BYTE_SIZE = /^\d+(\.\d+)?(k|[KMGTPE]i|[MGTPE])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;
const LONGEST_VERIFY_PERIOD = 2000;
const MOST_PROXY_THREADS = 256;
const INT32_MAX = 2 ** 31 - 1;

const CIDR = 'must be an address range such as 10.0.0.0/8 or fd00::/64';
const SERVER_ADDRESS = 'must be an IP address and a port 1..65535 such as "0.0.0.0:10256" or "[::]:10256"';

/** `broken`: fields already known to be at fault, which hold a default here; no fault is built on them. */
export function validateConfiguration(
  config: KubeProxyConfiguration,
  broken: readonly FieldPath[],
): readonly ConfigFault[] {
  const faults = [
    ...generalFaults(config),
    ...modeFaults(config),
    ...addressFaults(config),
    ...detectLocalFaults(config),
    ...conntrackFaults(config),
    ...loggingFaults(config),
    ...penstockFaults(config),
  ];
  const isBroken = (path: FieldPath) => broken.some((other) => pathsOverlap(path, other));
  return faults.filter((fault) => !isBroken(fault.path) && !fault.because?.some(isBroken));
}

function* generalFaults(config: KubeProxyConfiguration): Generator<ConfigFault> {
  for (const [name, enabled] of Object.entries(config.featureGates)) {
    const message = featureGateFault(name, enabled);
    if (message) yield { path: ['featureGates', name], message };
  }
  yield* within(config, 'clientConnection.burst', 0, INT32_MAX);
  yield* within(config, 'oomScoreAdj', -1000, 1000);
  yield* positive(config, 'configSyncPeriod');
  yield* positive(config, 'udpIdleTimeout');
  const { hostnameOverride, showHiddenMetricsForVersion } = config;
  if (hostnameOverride !== '' && hostnameOverride.trim() === '') {
    yield given(config, 'hostnameOverride', 'must be a node name');
  }
  if (showHiddenMetricsForVersion !== '' && showHiddenMetricsForVersion !== PREVIOUS_MINOR_VERSION) {
    yield given(config, 'showHiddenMetricsForVersion', `must be empty or "${PREVIOUS_MINOR_VERSION}"`);
  }
}

function* modeFaults(config: KubeProxyConfiguration): Generator<ConfigFault> {
  const { mode } = config;
  const inMode = (fault: ConfigFault): ConfigFault => ({
    ...fault,
    because: [...(fault.because ?? []), ['mode']],
  });
  yield* within(config, 'iptables.masqueradeBit', 0, 31);
  const found: ConfigFault[] = [];
  if (mode === 'ipvs') {
    found.push(...syncFaults(config, 'ipvs'));
    for (const name of ['tcpTimeout', 'tcpFinTimeout', 'udpTimeout'])
      found.push(...notNegative(config, `ipvs.${name}`));
    found.push(...cidrFaults('ipvs.excludeCIDRs', config.ipvs.excludeCIDRs));
  } else {
    if (mode !== 'nftables') found.push(...syncFaults(config, 'iptables'));
    if (mode === 'nftables' || mode === '') {
      found.push(...within(config, 'nftables.masqueradeBit', 0, 31), ...syncFaults(config, 'nftables'));
    }
    if (mode === 'userspace' && !parsePortRange(config.portRange)) {
      found.push(given(config, 'portRange', 'must be a range of ports such as "30000-32767" or "30000+100"'));
    }
  }
  yield* found.map(inMode);
}

function* syncFaults(
  config: KubeProxyConfiguration,
  block: 'iptables' | 'ipvs' | 'nftables',
): Generator<ConfigFault> {
  const { syncPeriod, minSyncPeriod } = config[block];
  yield* positive(config, `${block}.syncPeriod`);
  yield* notNegative(config, `${block}.minSyncPeriod`);
  if (syncPeriod > 0 && minSyncPeriod > syncPeriod) {
    yield {
      path: [block, 'minSyncPeriod'],
      message: `must not be above ${block}.syncPeriod (${formatDuration(syncPeriod)}), not "${formatDuration(minSyncPeriod)}"`,
      because: [[block, 'syncPeriod']],
    };
  }
}

function* addressFaults(config: KubeProxyConfiguration): Generator<ConfigFault> {
  if (!parseIp(config.bindAddress)) yield given(config, 'bindAddress', 'must be an IP address');
  for (const field of ['healthzBindAddress', 'metricsBindAddress'] as const) {
    const isOff = field === 'healthzBindAddress' && config[field] === '';
    if (!isOff && !parseHostPort(config[field])) yield given(config, field, SERVER_ADDRESS);
  }
  for (const [index, text] of config.nodePortAddresses.entries()) {
    if (Object.hasOwn(NODE_PORT_WORDS, text) || parseCidr(text)) continue;
    const words = Object.keys(NODE_PORT_WORDS).join(', ');
    yield {
      path: ['nodePortAddresses', index],
      message: `${CIDR}, or one of the words ${words}, not ${quote(text)}`,
    };
  }
}

function* detectLocalFaults(config: KubeProxyConfiguration): Generator<ConfigFault> {
  const { bridgeInterface, interfaceNamePrefix } = config.detectLocal;
  const because = [['detectLocalMode']];
  if (config.detectLocalMode === 'BridgeInterface' && !INTERFACE_NAME.test(bridgeInterface)) {
    const message = 'must name the bridge (1..15 characters) for detectLocalMode BridgeInterface';
    yield { ...given(config, 'detectLocal.bridgeInterface', message), because };
  }
  if (config.detectLocalMode === 'InterfaceNamePrefix' && !INTERFACE_PREFIX.test(interfaceNamePrefix)) {
    const message = 'must be the prefix (1..14 characters) for detectLocalMode InterfaceNamePrefix';
    yield { ...given(config, 'detectLocal.interfaceNamePrefix', message), because };
  }
  if (config.detectLocalMode === 'ClusterCIDR' && config.clusterCIDR !== '') {
    const cidrs = splitList(config.clusterCIDR).map(parseCidr);
    const families = cidrs.map((cidr) => cidr && familyOf(cidr));
    if (families.includes(undefined) || families.length > 2 || new Set(families).size !== families.length) {
      const message =
        'must be one address range, or one IPv4 and one IPv6 range such as 10.0.0.0/8,fd00::/64';
      yield { ...given(config, 'clusterCIDR', message), because };
    }
  }
}

function* conntrackFaults(config: KubeProxyConfiguration): Generator<ConfigFault> {
  yield* within(config, 'conntrack.maxPerCore', 0, INT32_MAX);
  yield* within(config, 'conntrack.min', 0, INT32_MAX);
  for (const name of ['tcpEstablishedTimeout', 'tcpCloseWaitTimeout', 'udpTimeout', 'udpStreamTimeout']) {
    yield* notNegative(config, `conntrack.${name}`);
  }
}

function* loggingFaults(config: KubeProxyConfiguration): Generator<ConfigFault> {
  const { format, vmodule, options } = config.logging;
  yield* within(config, 'logging.verbosity', 0, INT32_MAX);
  yield* positive(config, 'logging.flushFrequency');
  if (format !== 'text' && vmodule.length > 0) {
    const message = `works with logging.format "text" only, not ${quote(format)}`;
    yield { path: ['logging', 'vmodule'], message, because: [['logging', 'format']] };
  }
  for (const [index, { filePattern, verbosity }] of vmodule.entries()) {
    const path = ['logging', 'vmodule', index];
    if (!/^[^=,]+$/.test(filePattern)) {
      yield {
        path: [...path, 'filePattern'],
        message: `must be text without "=" and ",", not ${quote(filePattern)}`,
      };
    }
    if (verbosity < 0 || verbosity > INT32_MAX) {
      yield { path: [...path, 'verbosity'], message: `must be within 0..${INT32_MAX}, not ${verbosity}` };
    }
  }
  const isAlphaAllowed = resolveFeatureGates(config.featureGates).LoggingAlphaOptions;
  for (const [name, { splitStream, infoBufferSize }] of Object.entries(options)) {
    const path = ['logging', 'options', name];
    if (!BYTE_SIZE.test(infoBufferSize)) {
      yield given(
        config,
        `logging.options.${name}.infoBufferSize`,
        'must be a number of bytes such as "0" or "64Ki"',
      );
    }
    if (isAlphaAllowed) continue;
    const message = 'needs the feature gate LoggingAlphaOptions';
    const because = [['featureGates', 'LoggingAlphaOptions']];
    if (splitStream) yield { path: [...path, 'splitStream'], message, because };
    if (infoBufferSize !== '0') yield { path: [...path, 'infoBufferSize'], message, because };
  }
}

function* penstockFaults(config: KubeProxyConfiguration): Generator<ConfigFault> {
  yield* within(config, 'penstock.serviceMetricsLimit', 0, INT32_MAX);
  yield* within(config, 'penstock.endpointMetricsLimit', 0, INT32_MAX);
  yield* within(config, 'penstock.proxyThreads', 0, MOST_PROXY_THREADS);
  yield* notNegative(config, 'penstock.drainTimeout');
  yield* notNegative(config, 'penstock.shutdownTimeout');
  const page = parseHostPort(config.penstock.web);
  if (config.penstock.web !== '' && !(page && isLoopback(page.host)))
    yield given(config, 'penstock.web', 'must be a loopback address and a port, such as "127.0.0.1:10255"');
  for (const [i, text] of config.penstock.externalBalancer.addresses.entries())
    if (parseIp(text) === undefined)
      yield {
        path: ['penstock', 'externalBalancer', 'addresses', i],
        message: `must be an IP address, not ${quote(text)}`,
      };
  yield* wakeFaults(config);
  yield* within(config, 'penstock.loadBalancer.heartbeatPort', 1, 65_535);
  for (const [i, { name, addresses }] of config.penstock.loadBalancer.nodes.entries()) {
    const path = ['penstock', 'loadBalancer', 'nodes', i];
    if (name.trim() === '') yield { path: [...path, 'name'], message: 'must be the name of a node' };
    if (addresses.length === 0)
      yield { path: [...path, 'addresses'], message: 'must be a list of its IP addresses' };
    for (const [j, text] of addresses.entries())
      if (parseIp(text) === undefined)
        yield { path: [...path, 'addresses', j], message: `must be an IP address, not ${quote(text)}` };
  }
  const { verifyPeriod, serviceProxyName } = config.penstock;
  if (verifyPeriod <= 0 || verifyPeriod > LONGEST_VERIFY_PERIOD) {
    yield given(
      config,
      'penstock.verifyPeriod',
      'must be above 0 and at most 2s',
      formatDuration(verifyPeriod),
    );
  }
  if (!LABEL_VALUE.test(serviceProxyName)) {
    yield given(
      config,
      'penstock.serviceProxyName',
      'must be a label value (up to 63 letters, digits, "-", "_", ".")',
    );
  }
}

function* wakeFaults(config: KubeProxyConfiguration): Generator<ConfigFault> {
  const { webhook, units } = config.penstock.wake;
  if (webhook !== '' && !isWebAddress(webhook))
    yield given(config, 'penstock.wake.webhook', 'must be a URL that begins with http:// or https://');
  for (const [i, text] of units.entries())
    if (readUnitName(text) === undefined)
      yield {
        path: ['penstock', 'wake', 'units', i],
        message: `must be the name of a unit of systemd such as web.service, not ${quote(text)}`,
      };
}

/** The parts of a comma list, without blanks around them. */
export function splitList(list: string): string[] {
  return list.split(',').map((part) => part.trim());
}

function* cidrFaults(field: string, cidrs: readonly string[]): Generator<ConfigFault> {
  for (const [index, cidr] of cidrs.entries()) {
    if (!parseCidr(cidr)) yield { path: [...pathOf(field), index], message: `${CIDR}, not ${quote(cidr)}` };
  }
}

function* within(
  config: KubeProxyConfiguration,
  field: string,
  low: number,
  high: number,
): Generator<ConfigFault> {
  const value = Number(valueAt(config, pathOf(field)));
  if (value < low || value > high) yield given(config, field, `must be within ${low}..${high}`);
}

function* positive(config: KubeProxyConfiguration, field: string): Generator<ConfigFault> {
  const value = Number(valueAt(config, pathOf(field)));
  if (value <= 0) yield given(config, field, 'must be above 0', formatDuration(value));
}

function* notNegative(config: KubeProxyConfiguration, field: string): Generator<ConfigFault> {
  const value = Number(valueAt(config, pathOf(field)));
  if (value < 0) yield given(config, field, 'must not be negative', formatDuration(value));
}

function given(config: KubeProxyConfiguration, field: string, message: string, value?: string): ConfigFault {
  const path = pathOf(field);
  return { path, message: `${message}, not ${quote(value ?? valueAt(config, path))}` };
}
