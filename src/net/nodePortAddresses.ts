/** On which addresses node ports answer: the nodePortAddresses of the configuration against those of the machine. */
import {
  type Cidr,
  cidrContains,
  familyOf,
  type IpAddress,
  type IpFamily,
  isLoopback,
  prefixLength,
} from './ip.js';

/** CIDRs, and the node's own addresses (`primary`), which alone is no list. An empty list means every address. */
export type NodePortAddresses = readonly (Cidr | 'primary')[] | 'primary';

/** What the words of nodePortAddresses mean (KEP-6032); `primary` is resolved when the node's addresses are known. */
export const NODE_PORT_WORDS: Readonly<Record<string, readonly (Cidr | 'primary')[]>> = {
  primary: ['primary'],
  localhost: ['127.0.0.0/8' as Cidr, '::1/128' as Cidr],
  all: ['0.0.0.0/0' as Cidr, '::/0' as Cidr],
};

/** `all`, or the addresses of the machine inside the CIDRs. A family that no CIDR is of is not restricted. */
export function selectNodePortAddresses(
  wanted: NodePortAddresses,
  family: IpFamily,
  host: readonly IpAddress[],
  nodeAddress: IpAddress | undefined,
): 'all' | readonly IpAddress[] {
  const cidrs = nodePortRanges(wanted, family, nodeAddress);
  if (cidrs.length === 0) return 'all';
  return host.filter((ip) => cidrs.some((cidr) => cidrContains(cidr, ip)));
}

/** Those of the machine's addresses of all families at which its node ports are served, but for loopback. */
export function servedNodePortAddresses(
  wanted: NodePortAddresses,
  family: IpFamily,
  host: readonly IpAddress[],
  nodeAddress: IpAddress | undefined,
): readonly IpAddress[] {
  const own = host.filter((ip) => familyOf(ip) === family && !isLoopback(ip));
  const selected = selectNodePortAddresses(wanted, family, own, nodeAddress);
  return selected === 'all' ? own : selected;
}

/** Whether node ports are wanted on 127.0.0.0/8 at all. */
export function includesIpv4Loopback(wanted: NodePortAddresses, nodeAddress: IpAddress | undefined): boolean {
  const cidrs = ofFamily(wanted, 'IPv4', nodeAddress);
  if (cidrs.length === 0) return true;
  return cidrs.some((cidr) => cidr.startsWith('127.') || cidrContains(cidr, '127.0.0.0' as IpAddress));
}

/** `primary` as the node's addresses, loopback ones left out. */
export function resolveNodePortAddresses(
  wanted: NodePortAddresses,
  nodeAddresses: Readonly<Partial<Record<IpFamily, IpAddress>>>,
): readonly Cidr[] {
  const list: readonly (Cidr | 'primary')[] = wanted === 'primary' ? ['primary'] : wanted;
  const own = Object.values(nodeAddresses)
    .filter((ip) => !isLoopback(ip))
    .map((ip) => `${ip}/${familyOf(ip) === 'IPv4' ? 32 : 128}` as Cidr);
  return list.flatMap((each) => (each === 'primary' ? own : [each]));
}

/** Where in a family node ports answer, of the addresses of the machine; none: at all of them. */
export function nodePortRanges(
  wanted: NodePortAddresses,
  family: IpFamily,
  nodeAddress: IpAddress | undefined,
): readonly Cidr[] {
  const cidrs = ofFamily(wanted, family, nodeAddress);
  return cidrs.some((cidr) => prefixLength(cidr) === 0) ? [] : cidrs;
}

function ofFamily(
  wanted: NodePortAddresses,
  family: IpFamily,
  nodeAddress: IpAddress | undefined,
): readonly Cidr[] {
  const cidrs = resolveNodePortAddresses(wanted, nodeAddress === undefined ? {} : { [family]: nodeAddress });
  return cidrs.filter((cidr) => familyOf(cidr) === family);
}
