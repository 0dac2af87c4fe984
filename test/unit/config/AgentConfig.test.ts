import t from 'tap';
import {
  DEFAULT_CONFIGURATION,
  withServerAddresses,
} from '../../../src/config/file/KubeProxyConfiguration.js';
import { writeConfig } from '../../../src/config/file/writeConfig.js';
import { toNodeConfig } from '../../../src/config/NodeConfig.js';
import { runArguments, runFile } from './runCommand.js';

t.test('sync, masquerade and mark come from the block of the mode', (t) => {
  const blocks = `
iptables: {masqueradeBit: 1, masqueradeAll: true, syncPeriod: 10s, minSyncPeriod: 1s}
ipvs: {syncPeriod: 20s, minSyncPeriod: 2s}
nftables: {masqueradeBit: 31, masqueradeAll: false, syncPeriod: 30s, minSyncPeriod: 3s}
`;
  const cases = [
    ['""', 10_000, 1000, true, 2],
    ['userspace', 10_000, 1000, true, 2],
    ['iptables', 10_000, 1000, true, 2],
    ['ipvs', 20_000, 2000, true, 2],
    ['nftables', 30_000, 3000, false, 2147483648],
  ] as const;
  for (const [mode, period, minPeriod, masqueradeAll, masqueradeMark] of cases) {
    const { config } = runFile(`mode: ${mode}${blocks}`);
    t.match(config, { sync: { period, minPeriod }, masqueradeAll, masqueradeMark }, mode);
  }
  t.equal(runFile('mode: ipvs').config.sync.minPeriod, 0, 'ipvs has no shortest time by default');
  t.end();
});

t.test('the agent may resolve again with the mode it chose', (t) => {
  const { source, config } = runFile('nftables: {syncPeriod: 5s}');
  t.equal(config.mode, '');
  t.strictSame(config.nodePortAddresses, []);
  const chosen = toNodeConfig({ ...source, mode: 'nftables' }, 'host1');
  t.match(chosen, { mode: 'nftables', nodePortAddresses: 'primary', sync: { period: 5000 } });
  t.end();
});

t.test('detectLocal', (t) => {
  const cases: readonly (readonly [string, unknown])[] = [
    ['', { type: 'None' }],
    ['clusterCIDR: 010.0.0.1/8', { type: 'ClusterCIDR', cidrs: { IPv4: '10.0.0.0/8' } }],
    [
      'clusterCIDR: "FD00:0::1/64, 10.0.0.0/8"',
      { type: 'ClusterCIDR', cidrs: { IPv6: 'fd00::/64', IPv4: '10.0.0.0/8' } },
    ],
    ['detectLocalMode: NodeCIDR\nclusterCIDR: 10.0.0.0/8', { type: 'NodeCIDR' }],
    [
      'detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cbr0}',
      { type: 'BridgeInterface', name: 'cbr0' },
    ],
    [
      'detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}',
      { type: 'InterfaceNamePrefix', prefix: 'veth' },
    ],
  ];
  for (const [text, expected] of cases) t.strictSame(runFile(text).config.detectLocal, expected, text);
  t.end();
});

t.test('addresses are canonical', (t) => {
  const { config } = runFile(`
mode: ipvs
bindAddress: 172.30.0.041
healthzBindAddress: "[FD00::0]:80"
nodePortAddresses: [172.30.000.041/24, "FD00:0:0::1/64"]
ipvs: {excludeCIDRs: [010.1.2.3/16]}
`);
  t.match(config, {
    bindAddress: '172.30.0.41',
    healthz: { host: 'fd00::', port: 80 },
    nodePortAddresses: ['172.30.0.0/24', 'fd00::/64'],
    ipvs: { scheduler: 'rr', excludeCIDRs: ['10.1.0.0/16'] },
  });
  t.end();
});

t.test('nodePortAddresses', (t) => {
  t.strictSame(runFile('mode: iptables').config.nodePortAddresses, []);
  t.strictSame(runFile('mode: iptables\nnodePortAddresses: [primary]').config.nodePortAddresses, 'primary');
  t.strictSame(runFile('mode: nftables').config.nodePortAddresses, 'primary');
  t.strictSame(runFile('mode: nftables\nnodePortAddresses: [0.0.0.0/0]').config.nodePortAddresses, [
    '0.0.0.0/0',
  ]);
  t.end();
});

t.test('the node name is the override or the host name, trimmed, lower case', (t) => {
  t.equal(runFile('').config.nodeName, 'host1');
  t.equal(runFile('hostnameOverride: " Node-A.Example "').config.nodeName, 'node-a.example');
  const config = withServerAddresses(DEFAULT_CONFIGURATION);
  t.throws(() => toNodeConfig(config, ' \n'), {
    code: 'PENSTOCK_NODE_NAME_UNKNOWN',
    remedy: /--hostname-override/,
  });
  t.end();
});

t.test('feature gates have a state each', (t) => {
  const gatesOf = (given: string) => runFile(`featureGates: {${given}}`).config;
  t.match(gatesOf('').featureGates, {
    AllowServiceExternalIPs: true,
    NativeHistograms: false,
    ComponentFlagz: true,
  });
  t.match(gatesOf('AllAlpha: true').featureGates, { NativeHistograms: true, LoggingAlphaOptions: true });
  t.match(gatesOf('AllAlpha: true, NativeHistograms: false').featureGates, { NativeHistograms: false });
  t.match(gatesOf('AllBeta: false').featureGates, { ComponentFlagz: false, AllowServiceExternalIPs: true });
  t.strictSame(gatesOf('KubeletInUserNamespace: true, AllBeta: true').unknownFeatureGates, [
    'KubeletInUserNamespace',
  ]);
  t.end();
});

t.test('a configuration as clusters have it', (t) => {
  const { config } = runFile(
    `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: node7
clusterCIDR: 10.244.0.0/16,fd00:244::/32
detectLocalMode: ClusterCIDR
clientConnection: {kubeconfig: /etc/kubernetes/kubeconfig}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
healthzBindAddress: 0.0.0.0:10256
metricsBindAddress: 127.0.0.1:10249
`,
    { header: '' },
  );
  t.match(config, {
    mode: 'iptables',
    nodeName: 'node7',
    sync: { period: 30_000, minPeriod: 1000 },
    masqueradeMark: 0x4000,
    localhostNodePorts: true,
    detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: '10.244.0.0/16', IPv6: 'fd00:244::/32' } },
    clientConnection: { kubeconfig: '/etc/kubernetes/kubeconfig' },
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0, tcpCloseWaitTimeout: 0 },
    healthz: { host: '0.0.0.0', port: 10256 },
    metrics: { host: '127.0.0.1', port: 10249 },
  });
  t.end();
});

t.test('a written configuration reads back the same', (t) => {
  const text = `
mode: nftables
hostnameOverride: "on"
bindAddress: "::"
clusterCIDR: fd00::/64
nodePortAddresses: [primary]
featureGates: {AllAlpha: true}
iptables: {localhostNodePorts: false, syncPeriod: 1h30m, minSyncPeriod: 1.5s}
ipvs: {minSyncPeriod: 250ms, excludeCIDRs: [10.0.0.0/8]}
conntrack: {maxPerCore: 0, udpTimeout: 90s}
logging: {flushFrequency: 100000000, vmodule: [{filePattern: "sync*", verbosity: 9}], options: {text: {infoBufferSize: 64Ki}}}
winkernel: {enableDSR: true}
penstock: {manifests: /etc/penstock, verifyPeriod: 500ms, iptablesBackend: nft, serviceProxyName: edge}
`;
  for (const source of [
    runFile(text).source,
    runFile('').source,
    runArguments(['--proxy-mode=ipvs']).source,
  ]) {
    t.strictSame(runFile(writeConfig(source), { header: '' }).source, source);
  }
  t.match(writeConfig(runFile(text).source), /\n {2}syncPeriod: 1h30m0s\n {2}minSyncPeriod: 1\.5s\n/);
  t.end();
});
