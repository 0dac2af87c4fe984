/**
 * The configuration file: kubeproxy.config.k8s.io/v1alpha1 KubeProxyConfiguration, its fields and defaults.
 *
 * It has two forms: the written one (YAML, durations as Go strings) and the decoded one, the type below (every field
 * present, durations in milliseconds). Which values make sense is checked in validateConfiguration.
 * Source: Kubernetes 1.36 kube-proxy configuration reference; udpIdleTimeout and mode userspace as of 1.25.
 */
import * as z from 'zod/mini';
import { parseIp } from '../../net/ip.js';
import { withPort } from '../hostPort.js';
import {
  block,
  blockList,
  byteSize,
  choice,
  duration,
  flag,
  flagMap,
  integer,
  nonZeroChoice,
  nonZeroDuration,
  nonZeroDurationOrNanoseconds,
  nonZeroInteger,
  nonZeroNumber,
  nonZeroText,
  text,
  textList,
} from './schemaTypes.js';

export const API_VERSION = 'kubeproxy.config.k8s.io/v1alpha1';
export const KIND = 'KubeProxyConfiguration';

/** '' leaves the choice to the agent. */
export const PROXY_MODES = ['', 'userspace', 'iptables', 'ipvs', 'nftables'] as const;
export const DETECT_LOCAL_MODES = [
  'ClusterCIDR',
  'NodeCIDR',
  'BridgeInterface',
  'InterfaceNamePrefix',
] as const;
export const LOG_FORMATS = ['text', 'json'] as const;
export const SOCKET_LOOKUPS = ['auto', 'off'] as const;
export const SOURCE_ADDRESSES = ['auto', 'node', 'transparent'] as const;
/** As penstock.io/algorithm of a Service; '' leaves it to the mode. */
export const DEFAULT_ALGORITHMS = [
  '',
  'random',
  'round-robin',
  'least-connections',
  'power-of-two',
  'source-hash',
  'maglev',
] as const;
/** `auto`: as the host's own iptables rules are. */
export const IPTABLES_BACKENDS = ['auto', 'nft', 'legacy'] as const;

export type ProxyMode = (typeof PROXY_MODES)[number];
export type IptablesBackend = (typeof IPTABLES_BACKENDS)[number];

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const logOptions = () => block({ splitStream: flag(), infoBufferSize: byteSize('0') });

export const configurationSchema = z.strictObject(
  {
    apiVersion: z.literal(API_VERSION, { error: `must be "${API_VERSION}"` }),
    kind: z.literal(KIND, { error: `must be "${KIND}"` }),
    featureGates: flagMap(),
    clientConnection: block({
      kubeconfig: text(),
      acceptContentTypes: text(),
      contentType: nonZeroText('application/vnd.kubernetes.protobuf'),
      qps: nonZeroNumber(5),
      burst: nonZeroInteger(10),
    }),
    logging: block({
      format: nonZeroChoice(LOG_FORMATS, 'text'),
      flushFrequency: nonZeroDurationOrNanoseconds(5 * SECOND),
      verbosity: integer(0),
      vmodule: blockList({ filePattern: text(), verbosity: integer(0) }),
      options: block({ text: logOptions(), json: logOptions() }),
    }),
    hostnameOverride: text(),
    bindAddress: nonZeroText('0.0.0.0'),
    healthzBindAddress: text(),
    metricsBindAddress: text(),
    bindAddressHardFail: flag(),
    enableProfiling: flag(),
    showHiddenMetricsForVersion: text(),
    mode: choice(PROXY_MODES, ''),
    iptables: block({
      masqueradeBit: integer(14),
      masqueradeAll: flag(),
      localhostNodePorts: flag(true),
      syncPeriod: nonZeroDuration(30 * SECOND),
      minSyncPeriod: nonZeroDuration(SECOND),
    }),
    ipvs: block({
      syncPeriod: nonZeroDuration(30 * SECOND),
      minSyncPeriod: duration(0),
      scheduler: text(),
      excludeCIDRs: textList(),
      strictARP: flag(),
      tcpTimeout: duration(0),
      tcpFinTimeout: duration(0),
      udpTimeout: duration(0),
    }),
    nftables: block({
      masqueradeBit: integer(14),
      masqueradeAll: flag(),
      syncPeriod: nonZeroDuration(30 * SECOND),
      // kube-proxy's second is for rules that are dear to write.
      minSyncPeriod: nonZeroDuration(10),
    }),
    // Windows only: accepted, so that one file can serve both, and ignored.
    winkernel: z._default(z.record(z.string(), z.unknown(), { error: 'must be a block of fields' }), {}),
    windowsRunAsService: flag(),
    detectLocalMode: nonZeroChoice(DETECT_LOCAL_MODES, 'ClusterCIDR'),
    detectLocal: block({ bridgeInterface: text(), interfaceNamePrefix: text() }),
    clusterCIDR: text(),
    nodePortAddresses: textList(),
    oomScoreAdj: integer(-999),
    conntrack: block({
      maxPerCore: integer(32768),
      min: integer(131072),
      tcpEstablishedTimeout: duration(24 * HOUR),
      tcpCloseWaitTimeout: duration(HOUR),
      tcpBeLiberal: flag(),
      udpTimeout: duration(0),
      udpStreamTimeout: duration(0),
    }),
    configSyncPeriod: nonZeroDuration(15 * MINUTE),
    portRange: text(),
    udpIdleTimeout: nonZeroDuration(250),
    penstock: block({
      manifests: text(),
      serviceProxyName: text(),
      algorithm: choice(DEFAULT_ALGORITHMS, ''),
      iptablesBackend: nonZeroChoice(IPTABLES_BACKENDS, 'auto'),
      verifyPeriod: duration(SECOND),
      answerPing: flag(true),
      serviceCounters: flag(true),
      serviceMetricsLimit: integer(1000),
      endpointMetricsLimit: integer(0),
      proxyThreads: integer(0),
      drainTimeout: duration(0),
      shutdownTimeout: duration(25 * SECOND),
      takeover: flag(false),
      leave: flag(false),
      sourceAddress: nonZeroChoice(SOURCE_ADDRESSES, 'auto'),
      socketLookup: nonZeroChoice(SOCKET_LOOKUPS, 'off'),
      web: text(),
      externalBalancer: block({ serve: flag(false), addresses: textList() }),
      wake: block({
        ownPackets: flag(false),
        webhook: text(),
        units: textList(),
        scale: flag(false),
        share: flag(false),
      }),
      loadBalancer: block({
        announce: flag(false),
        interfaces: textList(),
        twoTiers: flag(true),
        heartbeatPort: nonZeroInteger(7790),
        leaseNamespace: nonZeroText('kube-system'),
        ignoreExcludeLabel: flag(false),
        nodes: blockList({ name: text(), addresses: textList() }),
      }),
    }),
  },
  { error: 'must be a block of fields' },
);

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

export type KubeProxyConfiguration = DeepReadonly<z.output<typeof configurationSchema>>;

export const HEALTHZ_PORT = 10256;
export const METRICS_PORT = 10249;

/** Completes the server addresses: without one, the default of bindAddress's family; without a port, the usual one. */
export function withServerAddresses(config: KubeProxyConfiguration): KubeProxyConfiguration {
  const isV6 = parseIp(config.bindAddress)?.includes(':') ?? false;
  return {
    ...config,
    healthzBindAddress: withPort(config.healthzBindAddress || (isV6 ? '::' : '0.0.0.0'), HEALTHZ_PORT),
    metricsBindAddress: withPort(config.metricsBindAddress || (isV6 ? '::1' : '127.0.0.1'), METRICS_PORT),
  };
}

/** Every field at its default. */
export const DEFAULT_CONFIGURATION: KubeProxyConfiguration = z.decode(configurationSchema, {
  apiVersion: API_VERSION,
  kind: KIND,
});

/** The written form as plain data, apiVersion and kind included: for files and /configz. */
export function encodeConfiguration(config: KubeProxyConfiguration): Readonly<Record<string, unknown>> {
  return z.encode(configurationSchema, config as z.output<typeof configurationSchema>);
}
