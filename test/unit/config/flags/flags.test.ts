import t from 'tap';
import { pathOf, valueAt } from '../../../../src/config/file/ConfigFault.js';
import { DEFAULT_CONFIGURATION } from '../../../../src/config/file/KubeProxyConfiguration.js';
import { flagHelp } from '../../../../src/config/flags/flagHelp.js';
import { FLAGS } from '../../../../src/config/flags/flags.js';
import { parseRunCommand } from '../../../../src/config/flags/parseRunCommand.js';
import { errorLines, runArguments, runFile } from '../runCommand.js';

/** Arguments → the fields of the file form that they set, all of them. */
const SETTING: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['--manifests=/m', { 'penstock.manifests': '/m' }],
  ['--service-proxy-name=p', { 'penstock.serviceProxyName': 'p' }],
  ['--iptables-backend=nft', { 'penstock.iptablesBackend': 'nft' }],
  ['--takeover', { 'penstock.takeover': true }],
  ['--leave', { 'penstock.leave': true }],
  ['--socket-lookup=auto', { 'penstock.socketLookup': 'auto' }],
  ['--source-address=transparent', { 'penstock.sourceAddress': 'transparent' }],
  ['--proxy-mode=nftables', { mode: 'nftables' }],
  ['--hostname-override=N', { hostnameOverride: 'N' }],
  ['--kubeconfig=/k', { 'clientConnection.kubeconfig': '/k' }],
  ['--kube-api-content-type=application/json', { 'clientConnection.contentType': 'application/json' }],
  ['--kube-api-qps=0.5', { 'clientConnection.qps': 0.5 }],
  ['--kube-api-burst=7', { 'clientConnection.burst': 7 }],
  ['--config-sync-period=1m', { configSyncPeriod: 60_000 }],
  ['--bind-address=10.0.0.1', { bindAddress: '10.0.0.1' }],
  ['--healthz-bind-address=10.0.0.1', { healthzBindAddress: '10.0.0.1:10256' }],
  ['--metrics-bind-address=10.0.0.1:5', { metricsBindAddress: '10.0.0.1:5' }],
  ['--bind-address-hard-fail', { bindAddressHardFail: true }],
  ['--profiling=T', { enableProfiling: true }],
  ['--show-hidden-metrics-for-version=1.35', { showHiddenMetricsForVersion: '1.35' }],
  ['--detect-local-mode=NodeCIDR', { detectLocalMode: 'NodeCIDR' }],
  ['--cluster-cidr=10.0.0.0/8', { clusterCIDR: '10.0.0.0/8' }],
  ['--pod-bridge-interface=br0', { 'detectLocal.bridgeInterface': 'br0' }],
  ['--pod-interface-name-prefix=veth', { 'detectLocal.interfaceNamePrefix': 'veth' }],
  ['--nodeport-addresses=10.0.0.0/8,fd00::/8', { nodePortAddresses: ['10.0.0.0/8', 'fd00::/8'] }],
  ['--masquerade-all', { 'iptables.masqueradeAll': true, 'nftables.masqueradeAll': true }],
  ['--iptables-masquerade-bit=3', { 'iptables.masqueradeBit': 3 }],
  ['--iptables-localhost-nodeports=false', { 'iptables.localhostNodePorts': false }],
  ['--iptables-sync-period=5s', { 'iptables.syncPeriod': 5000, 'nftables.syncPeriod': 5000 }],
  ['--iptables-min-sync-period=0', { 'iptables.minSyncPeriod': 0, 'nftables.minSyncPeriod': 0 }],
  ['--ipvs-sync-period=5s', { 'ipvs.syncPeriod': 5000 }],
  ['--ipvs-min-sync-period=2s', { 'ipvs.minSyncPeriod': 2000 }],
  ['--ipvs-scheduler=wlc', { 'ipvs.scheduler': 'wlc' }],
  ['--ipvs-exclude-cidrs=10.0.0.0/8', { 'ipvs.excludeCIDRs': ['10.0.0.0/8'] }],
  ['--ipvs-strict-arp', { 'ipvs.strictARP': true }],
  ['--ipvs-tcp-timeout=1s', { 'ipvs.tcpTimeout': 1000 }],
  ['--ipvs-tcpfin-timeout=1s', { 'ipvs.tcpFinTimeout': 1000 }],
  ['--ipvs-udp-timeout=1s', { 'ipvs.udpTimeout': 1000 }],
  ['--proxy-port-range=1-2', { portRange: '1-2' }],
  ['--udp-timeout=1s', { udpIdleTimeout: 1000 }],
  ['--oom-score-adj=-1', { oomScoreAdj: -1 }],
  ['--conntrack-max-per-core=0', { 'conntrack.maxPerCore': 0 }],
  ['--conntrack-min=1', { 'conntrack.min': 1 }],
  ['--conntrack-tcp-timeout-established=1s', { 'conntrack.tcpEstablishedTimeout': 1000 }],
  ['--conntrack-tcp-timeout-close-wait=1s', { 'conntrack.tcpCloseWaitTimeout': 1000 }],
  ['--conntrack-tcp-be-liberal', { 'conntrack.tcpBeLiberal': true }],
  ['--conntrack-udp-timeout=1s', { 'conntrack.udpTimeout': 1000 }],
  ['--conntrack-udp-timeout-stream=1s', { 'conntrack.udpStreamTimeout': 1000 }],
  ['--feature-gates=AllAlpha=true,AllBeta=0', { featureGates: { AllAlpha: true, AllBeta: false } }],
  ['--v=4', { 'logging.verbosity': 4 }],
  [
    '--vmodule=a=1,b=2',
    {
      'logging.vmodule': [
        { filePattern: 'a', verbosity: 1 },
        { filePattern: 'b', verbosity: 2 },
      ],
    },
  ],
  ['--logging-format=json', { 'logging.format': 'json' }],
  ['--log-flush-frequency=1s', { 'logging.flushFrequency': 1000 }],
  ['--log-text-split-stream', { 'logging.options.text.splitStream': true }],
  ['--log-text-info-buffer-size=1Ki', { 'logging.options.text.infoBufferSize': '1Ki' }],
  ['--log-json-split-stream', { 'logging.options.json.splitStream': true }],
  ['--log-json-info-buffer-size=1Ki', { 'logging.options.json.infoBufferSize': '1Ki' }],
];

/** Dotted names of the leaves that differ. Lists and feature gates are leaves. */
function differences(before: unknown, after: unknown, name = ''): Record<string, unknown> {
  if (JSON.stringify(before) === JSON.stringify(after)) return {};
  const isBlock = typeof before === 'object' && !Array.isArray(before) && name !== 'featureGates';
  if (!isBlock) return { [name]: after };
  return Object.assign(
    {},
    ...Object.keys(before as object).map((key) =>
      differences(valueAt(before, [key]), valueAt(after, [key]), name ? `${name}.${key}` : key),
    ),
  ) as Record<string, unknown>;
}

t.test('each flag sets its field and no other', (t) => {
  const begin = runArguments([]).source;
  const log = ['--feature-gates=LoggingAlphaOptions=true'];
  for (const [argument, expected] of SETTING) {
    const needsGate = argument.startsWith('--log-text') || argument.startsWith('--log-json');
    const { featureGates, ...changed } = differences(
      begin,
      runArguments([argument, ...(needsGate ? log : [])]).source,
    );
    t.strictSame(featureGates && !needsGate ? { featureGates, ...changed } : changed, expected, argument);
  }
  const tested = new Set(SETTING.map(([argument]) => argument.replace(/^--([^=]+).*$/, '$1')));
  const untested = FLAGS.filter((flag) => flag.fields && !tested.has(flag.name)).map((flag) => flag.name);
  t.strictSame(untested, [], 'every flag of the table is in this test');
  t.end();
});

t.test('the fields of the table exist, and no name comes twice', (t) => {
  for (const { name, fields = [] } of FLAGS) {
    for (const field of fields)
      t.not(valueAt(DEFAULT_CONFIGURATION, pathOf(field)), undefined, `${name}: ${field}`);
  }
  t.equal(new Set(FLAGS.map((flag) => flag.name)).size, FLAGS.length);
  t.end();
});

t.test('ways to write a flag', (t) => {
  for (const argv of [['-v', '4'], ['-v4'], ['-v=4'], ['--v', '4'], ['--v=3', '-v=4']]) {
    t.equal(runArguments(argv).config.logging.verbosity, 4, argv.join(' '));
  }
  t.equal(runArguments(['--oom-score-adj', '-5']).config.oomScoreAdj, -5);
  t.equal(runArguments(['--cleanup', '--cleanup=false']).options.cleanup, false, 'the last one counts');
  const lists = runArguments([
    '--nodeport-addresses=10.0.0.0/8',
    '--nodeport-addresses',
    'fd00::/8',
    '--feature-gates=AllAlpha=true',
    '--feature-gates=AllBeta=true,AllAlpha=false',
  ]).source;
  t.strictSame(lists.nodePortAddresses, ['10.0.0.0/8', 'fd00::/8']);
  t.strictSame(lists.featureGates, { AllAlpha: false, AllBeta: true });
  t.end();
});

t.test('an empty address or word leaves the default', (t) => {
  const argv = [
    '--bind-address=',
    '--healthz-bind-address=',
    '--metrics-bind-address=',
    '--detect-local-mode=',
  ];
  t.strictSame(runArguments(argv).source, runArguments([]).source);
  t.end();
});

t.test('the flags alone', (t) => {
  t.equal(runArguments(['--proxy-mode=ipvs']).config.sync.minPeriod, 1000, 'from a file it is 0');
  t.equal(runArguments(['--bind-address=::']).source.metricsBindAddress, '[::1]:10249');
  t.end();
});

t.test('deprecated port flags', (t) => {
  t.strictSame(runArguments(['--healthz-port=0']).config.healthz, undefined);
  t.equal(
    runArguments(['--healthz-port=5']).source.healthzBindAddress,
    '0.0.0.0:10256',
    'the default has a port',
  );
  t.equal(
    runArguments(['--healthz-port=5', '--healthz-bind-address=::']).source.healthzBindAddress,
    '[::]:5',
  );
  t.equal(
    runArguments(['--metrics-port=5', '--metrics-bind-address=10.0.0.1']).source.metricsBindAddress,
    '10.0.0.1:5',
  );
  t.strictSame(
    errorLines(() => runArguments(['--metrics-port=0'])),
    ['--metrics-port must be 1..65535: the metrics server cannot be turned off'],
  );
  t.end();
});

t.test('faults of flags, all at once', (t) => {
  const cases: readonly (readonly [readonly string[], ...string[]])[] = [
    [['--mode', 'ipvs'], '--mode is not a known flag; did you mean --proxy-mode?'],
    [['--masquerade-al'], '--masquerade-al is not a known flag; did you mean --masquerade-all?'],
    [['--cluster_cidr', '10.0.0.0/8'], '--cluster_cidr is not a known flag; did you mean --cluster-cidr?'],
    [['-x'], '-x is not a known flag; --help lists them'],
    [['serve', ''], '"serve" is not a flag; arguments are not taken'],
    [['--kubeconfig'], '--kubeconfig needs a value'],
    [['--cleanup=maybe'], '--cleanup must be true or false, not "maybe"'],
    [
      ['--proxy-mode=ebpf'],
      '--proxy-mode must be one of "", "userspace", "iptables", "ipvs", "nftables", not "ebpf"',
    ],
    [['--udp-timeout=5'], '--udp-timeout must be a duration such as "30s", "250ms" or "1h0m0s", not "5"'],
    [['--udp-timeout=0s'], '--udp-timeout must be above 0, not "0s"'],
    [['--iptables-sync-period=0s'], '--iptables-sync-period must be above 0, not "0s"'],
    [
      ['--feature-gates=AllAlpha'],
      '--feature-gates must be a list such as "Name=true,Other=false", not "AllAlpha"',
    ],
    [
      ['--feature-gates=AllowServiceExternalIP=false'],
      '--feature-gates AllowServiceExternalIP is not a known feature gate; did you mean AllowServiceExternalIPs?',
    ],
    [['--vmodule=a=x'], '--vmodule must be a list such as "pattern=3,other=1", not "a=x"'],
    [
      [
        '--oom-score-adj=abc',
        '--proxy-mod=ipvs',
        '--kube-api-qps=1e',
        '--bind-address=x',
        '--conntrack-min=-1',
      ],
      '--proxy-mod is not a known flag; did you mean --proxy-mode?',
      '--oom-score-adj must be a whole number, not "abc"',
      '--kube-api-qps must be a number, not "1e"',
      '--bind-address must be an IP address, not "x"',
      '--conntrack-min must be within 0..2147483647, not -1',
    ],
  ];
  for (const [argv, ...expected] of cases) {
    t.strictSame(
      errorLines(() => runArguments(argv)),
      expected,
      argv.join(' '),
    );
  }
  t.end();
});

t.test('beside --config some flags win, and the others are refused by name', (t) => {
  const text = `hostnameOverride: file
logging: {verbosity: 1, vmodule: [{filePattern: a, verbosity: 1}]}
penstock: {manifests: /file, serviceProxyName: file, iptablesBackend: legacy}
`;
  const flags = [
    '--hostname-override=Flag',
    '-v=2',
    '--vmodule=b=2',
    '--logging-format=text',
    '--manifests=/flag',
    '--service-proxy-name=flag',
    '--iptables-backend=nft',
    '--takeover',
    '--leave',
    '--master=https://flag',
    '--cleanup',
    '--init-only',
    '--dry-run',
    '--write-config-to=/out',
  ];
  const { config, options } = runFile(text, { flags });
  t.match(config, {
    nodeName: 'flag',
    logging: {
      verbosity: 2,
      vmodule: [
        { filePattern: 'b', verbosity: 2 },
        { filePattern: 'a', verbosity: 1 },
      ],
    },
    manifests: '/flag',
    serviceProxyName: 'flag',
    iptablesBackend: 'nft',
    leave: true,
    userspace: { takeover: true },
  });
  t.strictSame(options, {
    configFile: 'proxy.yaml',
    writeConfigTo: '/out',
    cleanup: true,
    initOnly: true,
    dryRun: true,
    master: 'https://flag',
  });
  t.strictSame(
    errorLines(() =>
      runFile('oomScoreAdj: 9999', { flags: ['--oom-score-adj=3', '--healthz-port=1', '--profilng'] }),
    ),
    [
      '--profilng is not a known flag; did you mean --profiling?',
      'proxy.yaml:3: oomScoreAdj must be within -1000..1000, not 9999',
    ],
  );
  t.strictSame(
    errorLines(() => runFile('hostnameOverride: 5', { flags: ['--hostname-override= '] })),
    ['proxy.yaml:3: hostnameOverride must be text, not 5'],
  );
  t.equal(
    runFile('hostnameOverride: a', { flags: ['--hostname-override='] }).config.nodeName,
    'a',
    'empty: not given',
  );
  t.strictSame(
    errorLines(() => runFile('', { flags: ['--hostname-override= '] })),
    ['--hostname-override must be a node name, not " "'],
  );
  const beside = runFile('oomScoreAdj: 7', {
    flags: ['--oom-score-adj=-998', '--healthz-port=1', '--masquerade-all', '-v=3'],
  });
  t.equal(beside.config.oomScoreAdj, 7, 'the file counts');
  t.equal(beside.config.logging.verbosity, 3);
  t.strictSame(beside.warnings, [
    '--oom-score-adj has no effect beside --config; set oomScoreAdj in proxy.yaml',
    '--healthz-port has no effect beside --config; proxy.yaml says it',
    '--masquerade-all has no effect beside --config; set iptables.masqueradeAll and nftables.masqueradeAll in proxy.yaml',
  ]);
  const ignored = FLAGS.filter((flag) => flag.besideConfig === 'ignored').map((flag) => flag.name);
  t.notOk(
    ignored.some(
      (name) =>
        /^(config|write|cleanup|init|hostname|master|log|v$|vmodule|version)/.test(name) &&
        name !== 'config-sync-period',
    ),
  );
  t.end();
});

t.test('help and version need no valid configuration', (t) => {
  const io = { readFile: () => '', hostname: () => 'h' };
  t.strictSame(parseRunCommand(['--config=none', '--help', '--unknown'], io), { type: 'help' });
  t.strictSame(parseRunCommand(['-h'], io), { type: 'help' });
  t.strictSame(parseRunCommand(['--config=none', '--version'], io), { type: 'version' });
  t.end();
});

t.test('the help names every flag with its default', (t) => {
  const help = flagHelp();
  for (const { name } of FLAGS) t.match(help, new RegExp(`^ {2}(-h, )?--?${name}( |$)`, 'm'));
  t.match(help, /--ipvs-min-sync-period <duration>\n.*\(default 1s\)/);
  t.match(help, /--oom-score-adj <integer>\n.*\(default -999\)/);
  t.match(help, /-v <integer> \*\n/);
  t.notMatch(help, /undefined|NaN| $/m);
  t.end();
});
