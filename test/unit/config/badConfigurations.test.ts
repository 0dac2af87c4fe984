/** What nobody should be able to start penstock with: each is refused in one line that names field, value and what is allowed. */
import t from 'tap';
import { errorLines, runArguments, runFile } from './runCommand.js';

/** A file, the field at fault, what was given as it is quoted, and what the line says is allowed. */
const FILES: readonly (readonly [text: string, field: string, value: string, allowed: RegExp])[] = [
  ['mode: ebpf', 'mode', '"ebpf"', /one of "", "userspace", "iptables", "ipvs", "nftables"/],
  ['mode: kernelspace', 'mode', '"kernelspace"', /one of ""/],
  ['bindAddress: eth0', 'bindAddress', '"eth0"', /an IP address/],
  ['bindAddress: 10.0.0.256', 'bindAddress', '"10.0.0.256"', /an IP address/],
  ['healthzBindAddress: ":10256"', 'healthzBindAddress', '":10256"', /an IP address and a port 1\.\.65535/],
  ['healthzBindAddress: 0.0.0.0:0', 'healthzBindAddress', '"0.0.0.0:0"', /a port 1\.\.65535/],
  ['metricsBindAddress: localhost:10249', 'metricsBindAddress', '"localhost:10249"', /an IP address/],
  ['metricsBindAddress: 0.0.0.0:65536', 'metricsBindAddress', '"0.0.0.0:65536"', /a port 1\.\.65535/],
  ['clusterCIDR: 10.244.0.0', 'clusterCIDR', '"10.244.0.0"', /one address range, or one IPv4 and one IPv6/],
  ['clusterCIDR: 10.0.0.0/8,11.0.0.0/8', 'clusterCIDR', '"10.0.0.0/8,11.0.0.0/8"', /one IPv4 and one IPv6/],
  ['clusterCIDR: 10.0.0.0/33', 'clusterCIDR', '"10.0.0.0/33"', /one address range/],
  [
    'detectLocalMode: PodCIDR',
    'detectLocalMode',
    '"PodCIDR"',
    /"ClusterCIDR", "NodeCIDR", "BridgeInterface"/,
  ],
  [
    'detectLocalMode: BridgeInterface',
    'detectLocal.bridgeInterface',
    '""',
    /the bridge \(1\.\.15 characters\)/,
  ],
  [
    'detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: a-prefix-too-long}',
    'detectLocal.interfaceNamePrefix',
    '"a-prefix-too-long"',
    /1\.\.14 characters/,
  ],
  ['nodePortAddresses: [10.0.0.1]', 'nodePortAddresses[0]', '"10.0.0.1"', /an address range such as/],
  [
    'nodePortAddresses: [primary, node]',
    'nodePortAddresses[1]',
    '"node"',
    /one of the words primary, localhost, all/,
  ],
  ['nodePortAddresses: primary', 'nodePortAddresses', '"primary"', /a list/],
  ['oomScoreAdj: -1001', 'oomScoreAdj', '-1001', /-1000\.\.1000/],
  ['oomScoreAdj: high', 'oomScoreAdj', '"high"', /a whole number/],
  ['iptables: {masqueradeBit: 32}', 'iptables.masqueradeBit', '32', /0\.\.31/],
  ['mode: nftables\nnftables: {masqueradeBit: -1}', 'nftables.masqueradeBit', '-1', /0\.\.31/],
  ['iptables: {syncPeriod: 30}', 'iptables.syncPeriod', '30', /a duration such as "30s"/],
  ['iptables: {syncPeriod: -1s}', 'iptables.syncPeriod', '"-1s"', /above 0/],
  [
    'iptables: {syncPeriod: 1s, minSyncPeriod: 2s}',
    'iptables.minSyncPeriod',
    '"2s"',
    /not be above iptables\.syncPeriod/,
  ],
  ['mode: ipvs\nipvs: {tcpTimeout: -1s}', 'ipvs.tcpTimeout', '"-1s"', /not be negative/],
  ['mode: ipvs\nipvs: {excludeCIDRs: [x]}', 'ipvs.excludeCIDRs[0]', '"x"', /an address range such as/],
  ['conntrack: {maxPerCore: -1}', 'conntrack.maxPerCore', '-1', /0\.\.2147483647/],
  ['conntrack: {min: 1.5}', 'conntrack.min', '1.5', /a whole number/],
  ['conntrack: {udpTimeout: -1s}', 'conntrack.udpTimeout', '"-1s"', /not be negative/],
  ['conntrack: {tcpBeLiberal: "yes"}', 'conntrack.tcpBeLiberal', '"yes"', /true or false/],
  ['configSyncPeriod: -15m', 'configSyncPeriod', '"-15m0s"', /above 0/],
  ['clientConnection: {burst: -1}', 'clientConnection.burst', '-1', /0\.\.2147483647/],
  ['clientConnection: {qps: fast}', 'clientConnection.qps', '"fast"', /a number/],
  ['hostnameOverride: "  "', 'hostnameOverride', '"  "', /a node name/],
  ['showHiddenMetricsForVersion: "1.20"', 'showHiddenMetricsForVersion', '"1.20"', /empty or "1\.35"/],
  ['logging: {format: xml}', 'logging.format', '"xml"', /"text", "json"/],
  ['logging: {verbosity: -1}', 'logging.verbosity', '-1', /0\.\.2147483647/],
  ['mode: userspace\nportRange: 5', 'portRange', '5', /text/],
  ['mode: userspace\nportRange: 9-5', 'portRange', '"9-5"', /a range of ports such as "30000-32767"/],
  ['udpIdleTimeout: -1s', 'udpIdleTimeout', '"-1s"', /above 0/],
  ['penstock: {verifyPeriod: 3s}', 'penstock.verifyPeriod', '"3s"', /above 0 and at most 2s/],
  ['penstock: {serviceProxyName: "a b"}', 'penstock.serviceProxyName', '"a b"', /a label value/],
  ['penstock: {iptablesBackend: old}', 'penstock.iptablesBackend', '"old"', /"auto", "nft", "legacy"/],
  ['penstock: {proxyThreads: -1}', 'penstock.proxyThreads', '-1', /0\.\.256/],
  ['penstock: {drainTimeout: -1s}', 'penstock.drainTimeout', '"-1s"', /not be negative/],
  ['featureGates: {AllAlpha: 1}', 'featureGates.AllAlpha', '1', /true or false/],
];

/** The same of flags. */
const FLAGS: readonly (readonly [argument: string, flag: string, value: string, allowed: RegExp])[] = [
  ['--proxy-mode=ebpf', '--proxy-mode', '"ebpf"', /one of "", "userspace"/],
  ['--cluster-cidr=10.0.0.0', '--cluster-cidr', '"10.0.0.0"', /one address range/],
  ['--nodeport-addresses=eth0', '--nodeport-addresses', '"eth0"', /an address range such as/],
  ['--iptables-sync-period=30', '--iptables-sync-period', '"30"', /a duration such as "30s"/],
  ['--conntrack-max-per-core=many', '--conntrack-max-per-core', '"many"', /a whole number/],
  ['--masquerade-all=always', '--masquerade-all', '"always"', /true or false/],
  ['--hostname-override=  ', '--hostname-override', '"  "', /a node name/],
  ['-v=loud', '-v', '"loud"', /a whole number/],
];

t.test(`${FILES.length} files`, (t) => {
  for (const [text, field, value, allowed] of FILES) {
    const lines = errorLines(() => runFile(text));
    t.equal(lines.length, 1, text);
    const [line = ''] = lines;
    t.match(line, /^proxy\.yaml:[34]: /, text);
    t.equal(line.replace(/^proxy\.yaml:\d: /, '').slice(0, field.length + 1), `${field} `, text);
    t.match(line, allowed, text);
    t.match(line, /must .*, not /, text);
    t.ok(line.endsWith(`not ${value}`), `${line} ends with ${value}`);
  }
  t.ok(FILES.length >= 24);
  t.end();
});

t.test(`${FLAGS.length} flags`, (t) => {
  for (const [argument, flag, value, allowed] of FLAGS) {
    const lines = errorLines(() => runArguments([argument]));
    t.equal(lines.length, 1, argument);
    t.equal(lines[0]?.slice(0, flag.length + 1), `${flag} `, argument);
    t.match(lines[0], allowed, argument);
    t.ok(lines[0]?.endsWith(`not ${value}`), `${lines[0]} ends with ${value}`);
  }
  t.end();
});
