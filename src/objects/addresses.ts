/** Addresses in objects: which ones are valid, and which may be a destination. */
import { familyOf, type IpAddress, parseIp } from '../net/ip.js';

/**
 * Like parseIp, without IPv4-mapped IPv6 (`::ffff:10.0.0.1`): Kubernetes treats those as IPv4 in some places and as
 * IPv6 in others (KEP-4858), which hides what they reach.
 */
export function parseObjectIp(text: string): IpAddress | undefined {
  const ip = parseIp(text);
  return ip?.startsWith('::ffff:') && ip.includes('.') ? undefined : ip;
}

/**
 * What becomes of 240.0.0.0/4. Clusters are built with it (GKE gives it to pods and Services, and neither the API server nor
 * kube-proxy minds), so what an API server says of it counts; in what a person wrote it is a slip.
 */
export type ReservedAddresses = 'served' | 'refused';

/** Why traffic must not be sent to the address; undefined when it may. */
export function forbiddenKind(ip: IpAddress, reserved: ReservedAddresses): string | undefined {
  return isLinkLocal(ip) ? 'a link-local address' : neverServed(ip, reserved);
}

/** Like forbiddenKind, but link-local addresses may serve as the address of a Service. */
export function neverServed(ip: IpAddress, reserved: ReservedAddresses): string | undefined {
  return familyOf(ip) === 'IPv6' ? neverServedIpv6(ip) : neverServedIpv4(ip, reserved);
}

/** The first addresses of all that forbiddenKind() refuses, 240.0.0.0/4 aside: a range that holds such addresses begins with one or has one of these. */
export const FORBIDDEN_BEGINS: readonly IpAddress[] = [
  '0.0.0.0',
  '127.0.0.0',
  '169.254.0.0',
  '224.0.0.0',
  '255.255.255.255',
  '::',
  '::1',
  'fd00:ec2::',
  'fe80::',
  'ff00::',
].flatMap((text) => parseIp(text) ?? []);

/** An address that a Service is to be reached at, from text; or what the text is instead: `a loopback address`. */
export function readServiceIp(
  text: string,
  reserved: ReservedAddresses,
): { readonly ip: IpAddress } | { readonly bad: string } {
  const ip = parseObjectIp(text);
  const bad = ip === undefined ? 'no IP address' : neverServed(ip, reserved);
  return ip === undefined || bad !== undefined ? { bad: bad ?? 'no IP address' } : { ip };
}

/** Source: IANA special-purpose address registry; RFC 1112, 5771, 6890. */
function neverServedIpv4(ip: IpAddress, reserved: ReservedAddresses): string | undefined {
  const first = Number(ip.slice(0, ip.indexOf('.')));
  if (first > 0 && first < 127) return undefined;
  if (first === 127) return 'a loopback address';
  if (ip === '0.0.0.0') return 'the unspecified address';
  if (first === 0) return 'an address of "this network" (0.0.0.0/8)';
  if (ip === '255.255.255.255') return 'the broadcast address';
  if (first >= 240) return reserved === 'served' ? undefined : 'a reserved address (240.0.0.0/4)';
  if (first >= 224) return 'a multicast address';
  return isMetadata(ip) ? CLOUD : undefined;
}

function neverServedIpv6(ip: IpAddress): string | undefined {
  if (ip === '::1') return 'a loopback address';
  if (ip === '::') return 'the unspecified address';
  if (ip.startsWith('ff') && ip.indexOf(':') === 4) return 'a multicast address';
  return isMetadata(ip) ? CLOUD : undefined;
}

const CLOUD = 'an address at which clouds serve metadata and credentials';

/** Whoever has it is trusted with the node's credentials (AWS, Azure, Google and others). */
function isMetadata(ip: IpAddress): boolean {
  return ip.startsWith('169.254.169.') || ip.startsWith('169.254.170.') || ip.startsWith('fd00:ec2::');
}

/** 169.254.0.0/16 and fe80::/10 */
function isLinkLocal(ip: IpAddress): boolean {
  return ip.startsWith('169.254.') || /^fe[89ab][0-9a-f]:/.test(ip);
}
