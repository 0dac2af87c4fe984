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

/** Why traffic must not be sent to the address; undefined when it may. */
export function forbiddenKind(ip: IpAddress): string | undefined {
  return neverServed(ip) ?? (isLinkLocal(ip) ? 'a link-local address' : undefined);
}

/** Like forbiddenKind, but link-local addresses may serve as the address of a Service. */
export function neverServed(ip: IpAddress): string | undefined {
  if (familyOf(ip) === 'IPv6') {
    if (ip === '::1') return 'a loopback address';
    if (ip === '::') return 'the unspecified address';
    return ip.startsWith('ff') && ip.indexOf(':') === 4 ? 'a multicast address' : undefined;
  }
  const first = Number(ip.slice(0, ip.indexOf('.')));
  if (first === 127) return 'a loopback address';
  if (ip === '0.0.0.0') return 'the unspecified address';
  return first >= 224 && first <= 239 ? 'a multicast address' : undefined;
}

/** 169.254.0.0/16 and fe80::/10 */
function isLinkLocal(ip: IpAddress): boolean {
  return ip.startsWith('169.254.') || /^fe[89ab][0-9a-f]:/.test(ip);
}
