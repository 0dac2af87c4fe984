import t from 'tap';
import { errorLines, runFile } from '../runCommand.js';

const SERVER = 'must be an IP address and a port 1..65535 such as "0.0.0.0:10256" or "[::]:10256"';
const DURATION = 'must be a duration such as "30s", "250ms" or "1h0m0s"';
const RANGE = 'must be an address range such as 10.0.0.0/8 or fd00::/64';
const CLUSTER = 'must be one address range, or one IPv4 and one IPv6 range such as 10.0.0.0/8,fd00::/64';
const INT32 = '0..2147483647';

/** The text of a file (after two header lines) → the error lines it must give, none for a valid one. */
const CASES: readonly (readonly [string, ...string[]])[] = [
  ['iptables: {masqueradeBit: 31}'],
  ['iptables: {masqueradeBit: 32}', '3: iptables.masqueradeBit must be within 0..31, not 32'],
  ['iptables: {masqueradeBit: -1}', '3: iptables.masqueradeBit must be within 0..31, not -1'],
  ['mode: ipvs\niptables: {masqueradeBit: 32}', '4: iptables.masqueradeBit must be within 0..31, not 32'],
  ['iptables: {masqueradeBit: 1.5}', '3: iptables.masqueradeBit must be a whole number, not 1.5'],
  ['mode: nftables\nnftables: {masqueradeBit: 32}', '4: nftables.masqueradeBit must be within 0..31, not 32'],
  ['nftables: {masqueradeBit: 32}', '3: nftables.masqueradeBit must be within 0..31, not 32'],
  ['mode: iptables\nnftables: {masqueradeBit: 32, syncPeriod: -1s}'],
  ['mode: iptables\nipvs: {tcpTimeout: -1s, excludeCIDRs: [x], syncPeriod: -1s}'],
  [
    'mode: ipvs\nipvs:\n  tcpTimeout: -1s\n  tcpFinTimeout: -2s\n  udpTimeout: -3ms\n  excludeCIDRs: [10.0.0.0/8, x]',
    '5: ipvs.tcpTimeout must not be negative, not "-1s"',
    '6: ipvs.tcpFinTimeout must not be negative, not "-2s"',
    '7: ipvs.udpTimeout must not be negative, not "-3ms"',
    `8: ipvs.excludeCIDRs[1] ${RANGE}, not "x"`,
  ],
  [
    'conntrack:\n  maxPerCore: -1\n  min: -2\n  tcpEstablishedTimeout: -1s\n  tcpCloseWaitTimeout: -1s\n  udpTimeout: -1s\n  udpStreamTimeout: -1s',
    `4: conntrack.maxPerCore must be within ${INT32}, not -1`,
    `5: conntrack.min must be within ${INT32}, not -2`,
    '6: conntrack.tcpEstablishedTimeout must not be negative, not "-1s"',
    '7: conntrack.tcpCloseWaitTimeout must not be negative, not "-1s"',
    '8: conntrack.udpTimeout must not be negative, not "-1s"',
    '9: conntrack.udpStreamTimeout must not be negative, not "-1s"',
  ],
  ['oomScoreAdj: -1000'],
  ['oomScoreAdj: 1001', '3: oomScoreAdj must be within -1000..1000, not 1001'],
  ['mode: ""'],
  [
    'mode: kernelspace',
    '3: mode must be one of "", "userspace", "iptables", "ipvs", "nftables", not "kernelspace"',
  ],
  ['clientConnection: {burst: -1}', `3: clientConnection.burst must be within ${INT32}, not -1`],
  ['configSyncPeriod: -1s', '3: configSyncPeriod must be above 0, not "-1s"'],
  ['udpIdleTimeout: -1s', '3: udpIdleTimeout must be above 0, not "-1s"'],
  ['iptables: {syncPeriod: 5s, minSyncPeriod: 5s}'],
  [
    'iptables:\n  syncPeriod: 5s\n  minSyncPeriod: 6s',
    '5: iptables.minSyncPeriod must not be above iptables.syncPeriod (5s), not "6s"',
  ],
  ['iptables: {syncPeriod: -5s}', '3: iptables.syncPeriod must be above 0, not "-5s"'],
  [
    'mode: userspace\niptables: {minSyncPeriod: -5s}',
    '4: iptables.minSyncPeriod must not be negative, not "-5s"',
  ],
  [
    'mode: nftables\niptables: {syncPeriod: -1s}\nnftables: {syncPeriod: 5ms}',
    '5: nftables.minSyncPeriod must not be above nftables.syncPeriod (5ms), not "10ms"',
  ],
  [
    'mode: ipvs\nipvs: {syncPeriod: 1s, minSyncPeriod: 2s}',
    '4: ipvs.minSyncPeriod must not be above ipvs.syncPeriod (1s), not "2s"',
  ],
  ['bindAddress: 010.0.0.1'],
  ['bindAddress: node1', '3: bindAddress must be an IP address, not "node1"'],
  ['bindAddress: fe80::1%eth0', '3: bindAddress must be an IP address, not "fe80::1%eth0"'],
  ['healthzBindAddress: 0.0.0.0:0', `3: healthzBindAddress ${SERVER}, not "0.0.0.0:0"`],
  ['metricsBindAddress: :10249', `3: metricsBindAddress ${SERVER}, not ":10249"`],
  ['nodePortAddresses: [primary]'],
  ['nodePortAddresses: [10.0.0.0/8, fd00::/8, 0.0.0.0/0]'],
  [
    'nodePortAddresses:\n- 10.0.0.0/8\n- 10.0.0.1',
    `5: nodePortAddresses[1] ${RANGE}, or one of the words primary, localhost, all, not "10.0.0.1"`,
  ],
  ['nodePortAddresses: [primary, 10.0.0.0/8]'],
  ['nodePortAddresses: [localhost, all, primary]'],
  ['showHiddenMetricsForVersion: "1.35"'],
  [
    'showHiddenMetricsForVersion: "1.34"',
    '3: showHiddenMetricsForVersion must be empty or "1.35", not "1.34"',
  ],
  ['detectLocalMode: NodeCIDR\nclusterCIDR: x'],
  [
    'detectLocalMode: Bridge',
    '3: detectLocalMode must be one of "ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix", not "Bridge"',
  ],
  ['detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cbr0}'],
  [
    'detectLocalMode: BridgeInterface',
    '3: detectLocal.bridgeInterface must name the bridge (1..15 characters) for detectLocalMode BridgeInterface, not ""',
  ],
  [
    'detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: "a b"}',
    '4: detectLocal.interfaceNamePrefix must be the prefix (1..14 characters) for detectLocalMode InterfaceNamePrefix, not "a b"',
  ],
  ['clusterCIDR: 10.244.0.0/16,fd00:244::/32'],
  ['clusterCIDR: fd00:244::/32, 10.244.0.0/16'],
  ['clusterCIDR: 10.0.0.0/8,11.0.0.0/8', `3: clusterCIDR ${CLUSTER}, not "10.0.0.0/8,11.0.0.0/8"`],
  [
    'clusterCIDR: 10.0.0.0/8,fd00::/8,11.0.0.0/8',
    `3: clusterCIDR ${CLUSTER}, not "10.0.0.0/8,fd00::/8,11.0.0.0/8"`,
  ],
  ['clusterCIDR: 10.0.0.0/8,', `3: clusterCIDR ${CLUSTER}, not "10.0.0.0/8,"`],
  ['featureGates: {AllowServiceExternalIPs: false, AllAlpha: true, MultiCIDRServiceAllocator: true}'],
  [
    'featureGates: {MultiCIDRServiceAllocator: false}',
    '3: featureGates.MultiCIDRServiceAllocator is always on in Kubernetes 1.36 and cannot be turned off; remove it',
  ],
  [
    'featureGates: {AllowServiceExternalIP: false}',
    '3: featureGates.AllowServiceExternalIP is not a known feature gate; did you mean AllowServiceExternalIPs?',
  ],
  ['featureGates: {KubeletInUserNamespace: true}'],
  ['featureGates: {AllAlpha: "yes"}', '3: featureGates.AllAlpha must be true or false, not "yes"'],
  ['logging: {format: xml}', '3: logging.format must be one of "text", "json", not "xml"'],
  ['logging: {vmodule: [{filePattern: sync, verbosity: 3}]}'],
  [
    'logging: {format: json, vmodule: [{filePattern: sync, verbosity: 3}]}',
    '3: logging.vmodule works with logging.format "text" only, not "json"',
  ],
  [
    'logging:\n  vmodule:\n  - filePattern: a=b\n  - verbosity: -1',
    '5: logging.vmodule[0].filePattern must be text without "=" and ",", not "a=b"',
    '6: logging.vmodule[1].filePattern must be text without "=" and ",", not ""',
    `6: logging.vmodule[1].verbosity must be within ${INT32}, not -1`,
  ],
  ['logging: {verbosity: -1}', `3: logging.verbosity must be within ${INT32}, not -1`],
  ['logging: {flushFrequency: -1s}', '3: logging.flushFrequency must be above 0, not "-1s"'],
  [
    'logging: {options: {text: {splitStream: true}, json: {infoBufferSize: 64Ki}}}',
    '3: logging.options.text.splitStream needs the feature gate LoggingAlphaOptions',
    '3: logging.options.json.infoBufferSize needs the feature gate LoggingAlphaOptions',
  ],
  [
    'logging: {options: {text: {splitStream: true, infoBufferSize: 64Ki}}}\nfeatureGates: {LoggingAlphaOptions: true}',
  ],
  [
    'logging: {options: {text: {infoBufferSize: big}}}\nfeatureGates: {LoggingAlphaOptions: true}',
    '3: logging.options.text.infoBufferSize must be a number of bytes such as "0" or "64Ki", not "big"',
  ],
  ['hostnameOverride: "  "', '3: hostnameOverride must be a node name, not "  "'],
  [
    'mode: userspace\nportRange: 9-8',
    '4: portRange must be a range of ports such as "30000-32767" or "30000+100", not "9-8"',
  ],
  ['mode: iptables\nportRange: 9-8'],
  ['penstock: {verifyPeriod: 2s}'],
  [
    'penstock: {verifyPeriod: 2001ms}',
    '3: penstock.verifyPeriod must be above 0 and at most 2s, not "2.001s"',
  ],
  ['penstock: {verifyPeriod: "0"}', '3: penstock.verifyPeriod must be above 0 and at most 2s, not "0s"'],
  [
    'penstock: {iptablesBackend: ebtables}',
    '3: penstock.iptablesBackend must be one of "auto", "nft", "legacy", not "ebtables"',
  ],
  ['penstock: {serviceMetricsLimit: 0}'],
  ['penstock: {proxyThreads: 256, drainTimeout: 0s, shutdownTimeout: 0s}'],
  ['penstock: {proxyThreads: -1}', '3: penstock.proxyThreads must be within 0..256, not -1'],
  ['penstock: {proxyThreads: 257}', '3: penstock.proxyThreads must be within 0..256, not 257'],
  ['penstock: {drainTimeout: -1s}', '3: penstock.drainTimeout must not be negative, not "-1s"'],
  ['penstock: {shutdownTimeout: -1ms}', '3: penstock.shutdownTimeout must not be negative, not "-1ms"'],
  [
    'penstock: {serviceMetricsLimit: -1}',
    '3: penstock.serviceMetricsLimit must be within 0..2147483647, not -1',
  ],
  [
    'penstock: {serviceProxyName: a b}',
    '3: penstock.serviceProxyName must be a label value (up to 63 letters, digits, "-", "_", "."), not "a b"',
  ],
  // shape
  ['iptables: {syncPeriod: 30}', `3: iptables.syncPeriod ${DURATION}, not 30`],
  ['iptables: {syncPeriod: 30 s}', `3: iptables.syncPeriod ${DURATION}, not "30 s"`],
  ['iptables: 5', '3: iptables must be a block of fields, not 5'],
  ['bindAddressHardFail: yes', '3: bindAddressHardFail must be true or false, not "yes"'],
  ['clusterCIDR: [10.0.0.0/8]', '3: clusterCIDR must be text, not ["10.0.0.0/8"]'],
  ['clientConnection: {qps: fast}', '3: clientConnection.qps must be a number, not "fast"'],
  ['nodePortAddresses: primary', '3: nodePortAddresses must be a list, not "primary"'],
];

t.test('each rule, with the line of the field', (t) => {
  for (const [text, ...expected] of CASES) {
    t.strictSame(
      errorLines(() => runFile(text)),
      expected.map((line) => `proxy.yaml:${line}`),
      text,
    );
  }
  t.end();
});

t.test('nothing is concluded from a field that is itself at fault', (t) => {
  const lines = errorLines(() => runFile('iptables: {syncPeriod: soon, minSyncPeriod: 1m}'));
  t.strictSame(lines, [`proxy.yaml:3: iptables.syncPeriod ${DURATION}, not "soon"`]);
  t.end();
});
