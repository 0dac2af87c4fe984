import t from 'tap';
import { configWarnings, type NodeNetwork } from '../../../../src/config/file/configWarnings.js';
import type { Cidr, IpAddress } from '../../../../src/net/ip.js';
import { runFile } from '../runCommand.js';

const NODE: NodeNetwork = {
  primaryFamily: 'IPv4',
  supportedFamilies: ['IPv4', 'IPv6'],
  nodeIPs: { IPv4: '192.0.2.1' as IpAddress, IPv6: '2001:db8::1' as IpAddress },
  podCIDRs: undefined,
};
const SINGLE: NodeNetwork = { ...NODE, supportedFamilies: ['IPv4'] };
const QUIET = 'nodePortAddresses: [10.0.0.0/8]\n';
const V6_FIRST: NodeNetwork = { ...NODE, primaryFamily: 'IPv6' };

/** What, a file, a node → beginnings of the warnings, `!` before a fatal one. */
const CASES: readonly (readonly [string, string, NodeNetwork, ...string[]])[] = [
  ['nothing doubtful', QUIET, NODE],
  ['node ports everywhere', '', NODE, 'nodePortAddresses is empty'],
  ['primary is a limit', 'nodePortAddresses: [primary]', NODE],
  [
    'primary without node IPs is none',
    'nodePortAddresses: [primary]',
    { ...NODE, nodeIPs: { IPv4: '127.0.0.1' as IpAddress } },
    'nodePortAddresses is "primary", but no address of this node is known',
  ],
  [
    'the Node has no range for its pods',
    `${QUIET}detectLocalMode: NodeCIDR`,
    { ...NODE, podCIDRs: [] },
    'detectLocalMode is NodeCIDR, but the Node object has no spec.podCIDRs yet',
  ],
  ['the Node is not known', `${QUIET}detectLocalMode: NodeCIDR`, NODE],
  [
    'what changes nothing, and why',
    `${QUIET}winkernel: {networkName: x}\nwindowsRunAsService: true\nportRange: 1-2\nudpIdleTimeout: 1s\n` +
      'logging: {flushFrequency: 1s, vmodule: [{filePattern: x, verbosity: 1}]}\n' +
      'clientConnection: {contentType: application/json, acceptContentTypes: application/json}',
    NODE,
    'winkernel has no effect: it is for Windows',
    'windowsRunAsService has no effect: it is for Windows',
    'portRange has no effect: it is for mode userspace',
    'udpIdleTimeout has no effect: it is for mode userspace',
    'clientConnection.contentType has no effect: the API server is asked for JSON',
    'clientConnection.acceptContentTypes has no effect: ',
    'logging.flushFrequency has no effect: every line is written at once',
    'logging.vmodule has no effect: the log has one level for all files',
  ],
  [
    'mode ipvs has an algorithm of its own',
    `${QUIET}mode: ipvs\npenstock: {algorithm: maglev}`,
    NODE,
    'penstock.algorithm has no effect: mode ipvs has ipvs.scheduler',
  ],
  [
    'in mode userspace they mean something',
    `${QUIET}mode: userspace\nportRange: 1-2\nudpIdleTimeout: 1s`,
    NODE,
  ],
  [
    'dual-stack, limited in one family',
    `${QUIET}clusterCIDR: 10.0.0.0/8,fd00::/8`,
    NODE,
    'nodePortAddresses has only IPv4 ranges, but the cluster seems to be dual-stack',
  ],
  [
    'dual-stack pods, limited in one family',
    QUIET,
    { ...NODE, podCIDRs: ['10.0.0.0/8', 'fd00::/8'] as Cidr[] },
    'nodePortAddresses has only IPv4 ranges, but the cluster seems to be dual-stack',
  ],
  [
    'only the other family',
    'nodePortAddresses: [fd00::/8]',
    NODE,
    "nodePortAddresses has only IPv6 ranges, but the node's primary family is IPv4",
  ],
  ['pods of the other family', `${QUIET}clusterCIDR: fd00::/8`, NODE, 'clusterCIDR has only IPv6 ranges'],
  ['… single-stack', `${QUIET}clusterCIDR: fd00::/8`, SINGLE, '!clusterCIDR has only IPv6 ranges'],
  [
    '… that nothing reads',
    `${QUIET}clusterCIDR: fd00::/8\ndetectLocalMode: NodeCIDR`,
    SINGLE,
    'clusterCIDR has only IPv6 ranges',
  ],
  [
    'podCIDRs of the other family',
    QUIET,
    { ...NODE, podCIDRs: ['fd00::/8'] as Cidr[] },
    "the node's spec.podCIDRs has only IPv6 ranges",
  ],
  [
    '… that are needed',
    `${QUIET}detectLocalMode: NodeCIDR`,
    { ...NODE, podCIDRs: ['fd00::/8'] as Cidr[] },
    "!the node's spec.podCIDRs has only IPv6 ranges",
  ],
  [
    'single-stack with addresses of the other family',
    `${QUIET}mode: ipvs\nipvs: {excludeCIDRs: [fd00::/8]}\nhealthzBindAddress: fd00::1\nmetricsBindAddress: "::1"`,
    SINGLE,
    'ipvs.excludeCIDRs has only IPv6 ranges',
    'healthzBindAddress fd00::1 is an IPv6 address',
    'metricsBindAddress ::1 is an IPv6 address',
  ],
  ['… in dual-stack', `${QUIET}healthzBindAddress: fd00::1\nmetricsBindAddress: "::1"`, NODE],
  ['… that mean every address', `${QUIET}healthzBindAddress: "::"\nmetricsBindAddress: "::"`, SINGLE],
  [
    'an IPv6 node',
    'nodePortAddresses: [fd00::/8]\nclusterCIDR: 10.0.0.0/8',
    V6_FIRST,
    'clusterCIDR has only IPv4 ranges',
  ],
  [
    'gates of other components',
    `${QUIET}featureGates: {KubeletInUserNamespace: true}`,
    NODE,
    'featureGates KubeletInUserNamespace mean nothing to penstock',
  ],
];

t.test('what kube-proxy warns about', (t) => {
  for (const [what, text, node, ...expected] of CASES) {
    const found = configWarnings(runFile(text).config, node);
    const lines = found.map(({ severity, message }) => `${severity === 'fatal' ? '!' : ''}${message}`);
    t.strictSame(
      lines.map((line, index) => line.slice(0, expected[index]?.length)),
      expected,
      what,
    );
  }
  t.end();
});
