/**
 * The flags of `penstock run`: kube-proxy's, under their names, and some of penstock's own.
 * This table is the only place that knows them; parsing and `--help` follow from it.
 */
import {
  DETECT_LOCAL_MODES,
  IPTABLES_BACKENDS,
  type KubeProxyConfiguration,
  LOG_FORMATS,
  PROXY_MODES,
  SOCKET_LOOKUPS,
  SOURCE_ADDRESSES,
} from '../file/KubeProxyConfiguration.js';

/** `address`, `name`: text where '' means unset. `gates`: `Name=true,…`. `vmodule`: `pattern=N,…`. A list: one of these words. */
export type FlagType =
  | 'text'
  | 'boolean'
  | 'integer'
  | 'number'
  | 'duration'
  | 'list'
  | 'address'
  | 'name'
  | 'gates'
  | 'vmodule'
  | readonly string[];

type FieldName<T> = {
  [K in keyof T & string]: T[K] extends string | number | boolean | readonly unknown[]
    ? K
    : string extends keyof T[K]
      ? K
      : `${K}.${FieldName<T[K]>}`;
}[keyof T & string];

export type ConfigField = FieldName<KubeProxyConfiguration>;

export type OptionName =
  | 'config'
  | 'writeConfigTo'
  | 'cleanup'
  | 'initOnly'
  | 'dryRun'
  | 'master'
  | 'version'
  | 'help'
  | 'healthzPort'
  | 'metricsPort';

export interface Flag {
  readonly name: string;
  readonly short?: string;
  readonly type: FlagType;
  /** The fields it sets; none for an option of the command. */
  readonly fields?: readonly ConfigField[];
  readonly option?: OptionName;
  /** `allowed`: works together with --config and wins over the file. `ignored`: as in kube-proxy, with a warning. */
  readonly besideConfig: 'allowed' | 'ignored';
  readonly help: string;
}

const option = (name: string, type: FlagType, target: OptionName, help: string): Flag => ({
  name,
  type,
  option: target,
  besideConfig: 'allowed',
  help,
});

const portFlag = (name: string, target: OptionName, help: string): Flag => ({
  ...option(name, 'integer', target, help),
  besideConfig: 'ignored',
});

const field = (
  name: string,
  type: FlagType,
  target: ConfigField | readonly ConfigField[],
  help: string,
): Flag => ({
  name,
  type,
  fields: typeof target === 'string' ? [target] : target,
  besideConfig: 'ignored',
  help,
});

const winning = (flag: Flag): Flag => ({ ...flag, besideConfig: 'allowed' });

export const FLAGS: readonly Flag[] = [
  option('config', 'text', 'config', 'Configuration file. Without it the flags below are the configuration.'),
  option(
    'write-config-to',
    'text',
    'writeConfigTo',
    'Write the configuration with its defaults to a file and exit.',
  ),
  option('cleanup', 'boolean', 'cleanup', 'Remove everything a service proxy left in the kernel and exit.'),
  option('init-only', 'boolean', 'initOnly', 'Do what needs full root privileges and exit.'),
  option('dry-run', 'boolean', 'dryRun', 'Print what would be set and written, change nothing and exit.'),
  option('master', 'text', 'master', 'URL of the API server; wins over the kubeconfig.'),
  option('version', 'boolean', 'version', 'Print the version and exit.'),
  { ...option('help', 'boolean', 'help', 'Print this text and exit.'), short: 'h' },

  winning(
    field(
      'manifests',
      'text',
      'penstock.manifests',
      'Folder of manifests to serve instead of an API server.',
    ),
  ),
  winning(
    field(
      'service-proxy-name',
      'text',
      'penstock.serviceProxyName',
      'Serve only services whose label service.kubernetes.io/service-proxy-name has this value.',
    ),
  ),
  winning(
    field(
      'iptables-backend',
      IPTABLES_BACKENDS,
      'penstock.iptablesBackend',
      'Which iptables programs to use.',
    ),
  ),
  winning(
    field(
      'source-address',
      SOURCE_ADDRESSES,
      'penstock.sourceAddress',
      'Mode userspace: whose address endpoints see.',
    ),
  ),
  winning(
    field(
      'socket-lookup',
      SOCKET_LOOKUPS,
      'penstock.socketLookup',
      'Mode userspace: cluster IPs without NAT where the kernel can do it.',
    ),
  ),
  winning(
    field(
      'takeover',
      'boolean',
      'penstock.takeover',
      'Inherit the listening sockets of the penstock that runs here (mode userspace).',
    ),
  ),
  winning(
    field(
      'leave',
      'boolean',
      'penstock.leave',
      "Leave this node to another proxy as soon as its rules are in force: remove penstock's, and idle.",
    ),
  ),

  field('proxy-mode', PROXY_MODES, 'mode', 'How services are proxied; empty: the agent chooses.'),
  winning(
    field('hostname-override', 'name', 'hostnameOverride', 'Name of the Node object; empty: the host name.'),
  ),
  field(
    'kubeconfig',
    'text',
    'clientConnection.kubeconfig',
    'Kubeconfig file; empty: as a pod in the cluster.',
  ),
  field('kube-api-content-type', 'text', 'clientConnection.contentType', 'Content type of API requests.'),
  field('kube-api-qps', 'number', 'clientConnection.qps', 'API requests per second.'),
  field('kube-api-burst', 'integer', 'clientConnection.burst', 'API requests at once.'),
  field('config-sync-period', 'duration', 'configSyncPeriod', 'How often all objects are looked at again.'),

  field('bind-address', 'address', 'bindAddress', "The node's primary IP address; nothing is bound to it."),
  field('healthz-bind-address', 'address', 'healthzBindAddress', 'Address and port of the health server.'),
  field('metrics-bind-address', 'address', 'metricsBindAddress', 'Address and port of the metrics server.'),
  portFlag(
    'healthz-port',
    'healthzPort',
    'Deprecated. Port for a --healthz-bind-address without one; 0: no server.',
  ),
  portFlag('metrics-port', 'metricsPort', 'Deprecated. Port for a --metrics-bind-address without one.'),
  field('bind-address-hard-fail', 'boolean', 'bindAddressHardFail', 'Exit when a server cannot listen.'),
  field('profiling', 'boolean', 'enableProfiling', 'Serve profiles on the metrics port.'),
  field(
    'show-hidden-metrics-for-version',
    'text',
    'showHiddenMetricsForVersion',
    'Also serve metrics hidden since this version; only the previous minor version.',
  ),

  field('detect-local-mode', DETECT_LOCAL_MODES, 'detectLocalMode', 'How traffic from pods is recognised.'),
  field('cluster-cidr', 'text', 'clusterCIDR', 'Address range of the pods, or an IPv4 and an IPv6 one.'),
  field('pod-bridge-interface', 'text', 'detectLocal.bridgeInterface', 'Bridge for BridgeInterface.'),
  field(
    'pod-interface-name-prefix',
    'text',
    'detectLocal.interfaceNamePrefix',
    'Interface name prefix for InterfaceNamePrefix.',
  ),
  field(
    'nodeport-addresses',
    'list',
    'nodePortAddresses',
    'Where node ports are served: address ranges and the words primary, localhost, all; empty: all (mode nftables: primary).',
  ),

  field(
    'masquerade-all',
    'boolean',
    ['iptables.masqueradeAll', 'nftables.masqueradeAll'],
    'Masquerade all traffic to cluster IPs.',
  ),
  field('iptables-masquerade-bit', 'integer', 'iptables.masqueradeBit', 'Bit of the packet mark, 0..31.'),
  field(
    'iptables-localhost-nodeports',
    'boolean',
    'iptables.localhostNodePorts',
    'Serve IPv4 node ports on 127.0.0.1 (mode iptables).',
  ),
  field(
    'iptables-sync-period',
    'duration',
    ['iptables.syncPeriod', 'nftables.syncPeriod'],
    'Time between retries and full checks (all modes but ipvs).',
  ),
  field(
    'iptables-min-sync-period',
    'duration',
    ['iptables.minSyncPeriod', 'nftables.minSyncPeriod'],
    'Shortest time between two syncs (all modes but ipvs).',
  ),
  field('ipvs-sync-period', 'duration', 'ipvs.syncPeriod', 'Time between full syncs.'),
  field('ipvs-min-sync-period', 'duration', 'ipvs.minSyncPeriod', 'Shortest time between two syncs.'),
  field('ipvs-scheduler', 'text', 'ipvs.scheduler', 'Scheduler of the virtual servers; empty: rr.'),
  field('ipvs-exclude-cidrs', 'list', 'ipvs.excludeCIDRs', 'Virtual servers in these ranges are left alone.'),
  field('ipvs-strict-arp', 'boolean', 'ipvs.strictARP', 'Set arp_ignore to 1 and arp_announce to 2.'),
  field('ipvs-tcp-timeout', 'duration', 'ipvs.tcpTimeout', 'Idle TCP connections; 0: as it is.'),
  field('ipvs-tcpfin-timeout', 'duration', 'ipvs.tcpFinTimeout', 'TCP connections after a FIN; 0: as it is.'),
  field('ipvs-udp-timeout', 'duration', 'ipvs.udpTimeout', 'Idle UDP flows; 0: as it is.'),
  field('proxy-port-range', 'text', 'portRange', 'Ports of the proxy (mode userspace); empty: any.'),
  field('udp-timeout', 'duration', 'udpIdleTimeout', 'Idle UDP flows (mode userspace).'),

  field('oom-score-adj', 'integer', 'oomScoreAdj', 'OOM score adjustment of this process, -1000..1000.'),
  field(
    'conntrack-max-per-core',
    'integer',
    'conntrack.maxPerCore',
    'Tracked connections per core; 0: as it is.',
  ),
  field('conntrack-min', 'integer', 'conntrack.min', 'Least number of tracked connections.'),
  field(
    'conntrack-tcp-timeout-established',
    'duration',
    'conntrack.tcpEstablishedTimeout',
    'Idle established TCP connections; 0: as it is.',
  ),
  field(
    'conntrack-tcp-timeout-close-wait',
    'duration',
    'conntrack.tcpCloseWaitTimeout',
    'TCP connections in CLOSE_WAIT; 0: as it is.',
  ),
  field(
    'conntrack-tcp-be-liberal',
    'boolean',
    'conntrack.tcpBeLiberal',
    'Track TCP packets outside the window.',
  ),
  field(
    'conntrack-udp-timeout',
    'duration',
    'conntrack.udpTimeout',
    'UDP flows without a reply; 0: as it is.',
  ),
  field(
    'conntrack-udp-timeout-stream',
    'duration',
    'conntrack.udpStreamTimeout',
    'UDP flows with replies; 0: as it is.',
  ),
  field('feature-gates', 'gates', 'featureGates', 'Feature gates.'),

  winning({ ...field('v', 'integer', 'logging.verbosity', 'Log verbosity.'), short: 'v' }),
  winning(field('vmodule', 'vmodule', 'logging.vmodule', 'Log verbosity of single files (text format).')),
  winning(field('logging-format', LOG_FORMATS, 'logging.format', 'Log format.')),
  winning(
    field(
      'log-flush-frequency',
      'duration',
      'logging.flushFrequency',
      'Longest time between two log flushes.',
    ),
  ),
  ...(['text', 'json'] as const).flatMap((format) => [
    winning(
      field(
        `log-${format}-split-stream`,
        'boolean',
        `logging.options.${format}.splitStream`,
        'Write errors to stderr and the rest to stdout (alpha).',
      ),
    ),
    winning(
      field(
        `log-${format}-info-buffer-size`,
        'text',
        `logging.options.${format}.infoBufferSize`,
        'Buffer of the split stream in bytes (alpha).',
      ),
    ),
  ]),
];

/** As it is typed: `--proxy-mode`, `-v`. */
export function flagLabel({ name }: Flag): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}
