import t from 'tap';
import {
  DEFAULT_CONFIGURATION,
  withServerAddresses,
} from '../../../../src/config/file/KubeProxyConfiguration.js';
import { runFile } from '../runCommand.js';

/** Every field of the file with its default, durations in milliseconds. */
const DEFAULTS = {
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  featureGates: {},
  clientConnection: {
    kubeconfig: '',
    acceptContentTypes: '',
    contentType: 'application/vnd.kubernetes.protobuf',
    qps: 5,
    burst: 10,
  },
  logging: {
    format: 'text',
    flushFrequency: 5000,
    verbosity: 0,
    vmodule: [],
    options: {
      text: { splitStream: false, infoBufferSize: '0' },
      json: { splitStream: false, infoBufferSize: '0' },
    },
  },
  hostnameOverride: '',
  bindAddress: '0.0.0.0',
  healthzBindAddress: '0.0.0.0:10256',
  metricsBindAddress: '127.0.0.1:10249',
  bindAddressHardFail: false,
  enableProfiling: false,
  showHiddenMetricsForVersion: '',
  mode: '',
  iptables: {
    masqueradeBit: 14,
    masqueradeAll: false,
    localhostNodePorts: true,
    syncPeriod: 30_000,
    minSyncPeriod: 1000,
  },
  ipvs: {
    syncPeriod: 30_000,
    minSyncPeriod: 0,
    scheduler: '',
    excludeCIDRs: [],
    strictARP: false,
    tcpTimeout: 0,
    tcpFinTimeout: 0,
    udpTimeout: 0,
  },
  nftables: { masqueradeBit: 14, masqueradeAll: false, syncPeriod: 30_000, minSyncPeriod: 10 },
  winkernel: {},
  windowsRunAsService: false,
  detectLocalMode: 'ClusterCIDR',
  detectLocal: { bridgeInterface: '', interfaceNamePrefix: '' },
  clusterCIDR: '',
  nodePortAddresses: [],
  oomScoreAdj: -999,
  conntrack: {
    maxPerCore: 32768,
    min: 131072,
    tcpEstablishedTimeout: 86_400_000,
    tcpCloseWaitTimeout: 3_600_000,
    tcpBeLiberal: false,
    udpTimeout: 0,
    udpStreamTimeout: 0,
  },
  configSyncPeriod: 900_000,
  portRange: '',
  udpIdleTimeout: 250,
  penstock: {
    manifests: '',
    serviceProxyName: '',
    algorithm: '',
    iptablesBackend: 'auto',
    verifyPeriod: 1000,
    answerPing: true,
    serviceCounters: true,
    serviceMetricsLimit: 1000,
    endpointMetricsLimit: 0,
    proxyThreads: 0,
    drainTimeout: 0,
    shutdownTimeout: 25_000,
    takeover: false,
    leave: false,
    sourceAddress: 'auto',
    socketLookup: 'off',
    web: '',
    loadBalancer: {
      announce: false,
      interfaces: [],
      twoTiers: true,
      heartbeatPort: 7790,
      leaseNamespace: 'kube-system',
      ignoreExcludeLabel: false,
      nodes: [],
    },
    externalBalancer: { serve: false, addresses: [] },
    wake: { ownPackets: false, webhook: '', units: [], scale: false, share: false },
  },
};

t.test('every default', (t) => {
  t.strictSame(withServerAddresses(DEFAULT_CONFIGURATION), DEFAULTS);
  t.strictSame(runFile('').source, DEFAULTS, 'a file with no field but apiVersion and kind');
  t.end();
});

t.test('the file that kubeadm writes, full of zeros and nulls, means the defaults', (t) => {
  const text = `
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: ""
  qps: 0
clusterCIDR: ""
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
featureGates:
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  networkName: ""
`;
  t.strictSame({ ...runFile(text).source, winkernel: {} }, DEFAULTS);
  t.end();
});

t.test('an explicit zero stays where zero is a value of its own', (t) => {
  const { source } = runFile(`
iptables: {masqueradeBit: 0, localhostNodePorts: false}
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: "0"}
`);
  t.equal(source.iptables.masqueradeBit, 0);
  t.equal(source.iptables.localhostNodePorts, false);
  t.equal(source.oomScoreAdj, 0);
  t.match(source.conntrack, { maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0, tcpCloseWaitTimeout: 0 });
  t.end();
});

t.test('server addresses follow the family of bindAddress and get the usual port', (t) => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['bindAddress: "::"', '[::]:10256', '[::1]:10249'],
    ['bindAddress: 10.0.0.1', '0.0.0.0:10256', '127.0.0.1:10249'],
    ['healthzBindAddress: 10.0.0.1\nmetricsBindAddress: fd00::1', '10.0.0.1:10256', '[fd00::1]:10249'],
    ['healthzBindAddress: 10.0.0.1:5\nmetricsBindAddress: "[fd00::1]:6"', '10.0.0.1:5', '[fd00::1]:6'],
  ];
  for (const [text, healthz, metrics] of cases) {
    const { source } = runFile(text);
    t.strictSame([source.healthzBindAddress, source.metricsBindAddress], [healthz, metrics], text);
  }
  t.end();
});

t.test('JSON, also with tabs, is read as YAML is', (t) => {
  const text =
    '{\n\t"apiVersion": "kubeproxy.config.k8s.io/v1alpha1",\n\t"kind": "KubeProxyConfiguration",\n\t"mode": "ipvs"\n}\n';
  t.equal(runFile(text, { header: '' }).source.mode, 'ipvs');
  t.end();
});

t.test('flushFrequency may be a number of nanoseconds', (t) => {
  t.equal(runFile('logging: {flushFrequency: 2000000000}').source.logging.flushFrequency, 2000);
  t.end();
});
