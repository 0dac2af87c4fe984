/** The addresses of this machine. */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import {
  IP_FAMILIES,
  type IpAddress,
  type IpFamily,
  isLoopback,
  isUnspecified,
  parseIp,
} from '../../net/ip.js';

/** Every address of every interface that is up, loopback included, link-local IPv6 left out. */
export function hostAddresses(): IpAddress[] {
  const found = new Set<IpAddress>();
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) {
      const ip = parseIp(address);
      if (ip !== undefined && !ip.startsWith('fe80:')) found.add(ip);
    }
  }
  return [...found];
}

/**
 * The IPv6 address of the default route's gateway, unless it is link-local (/proc/net/ipv6_route: 32 digits each of
 * destination, source and next hop, with their lengths).
 */
function ipv6Gateway(): IpAddress | undefined {
  const routes = readIfThere('/proc/net/ipv6_route');
  const gateways = [...routes.matchAll(/^0{32} 00 0{32} 00 ([0-9a-f]{32})/gm)].map(
    ([, digits = '']) => digits,
  );
  const gateway = gateways.find((digits) => !/^(0{32}|fe80)/.test(digits));
  if (gateway === undefined) return undefined;
  return parseIp((gateway.match(/.{4}/g) ?? []).join(':'));
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Documentation addresses (RFC 5737, RFC 3849): any address behind the default route does. */
const BEHIND_DEFAULT_ROUTE: Readonly<Record<IpFamily, string>> = {
  IPv4: '192.0.2.1',
  IPv6: '2001:db8:ffff::1',
};

/**
 * The address that the kernel uses towards the default route; without one, the first that is not loopback.
 * Asks the routing table with a connected UDP socket; no packet is sent.
 */
export async function primaryAddress(family: IpFamily): Promise<IpAddress | undefined> {
  // Of several IPv6 addresses, the one in the gateway's own range is meant.
  const gateway = family === 'IPv6' ? ipv6Gateway() : undefined;
  const routed = await sourceAddress(family, gateway ?? BEHIND_DEFAULT_ROUTE[family]);
  if (routed !== undefined && !isLoopback(routed)) return routed;
  return hostAddresses().find((ip) => ip.includes(':') === (family === 'IPv6') && !isLoopback(ip));
}

/** Of each family that this machine has addresses of. */
export async function primaryAddresses(): Promise<Readonly<Partial<Record<IpFamily, IpAddress>>>> {
  const found: Partial<Record<IpFamily, IpAddress>> = {};
  for (const family of IP_FAMILIES) {
    const address = await primaryAddress(family);
    if (address !== undefined) found[family] = address;
  }
  return found;
}

function sourceAddress(family: IpFamily, destination: string): Promise<IpAddress | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(family === 'IPv4' ? 'udp4' : 'udp6');
    const finish = (ip: IpAddress | undefined) => {
      socket.close();
      resolve(ip);
    };
    socket.once('error', () => finish(undefined));
    socket.connect(9, destination, () => {
      // Without a route the socket stays unbound.
      const ip = parseIp(socket.address().address);
      finish(ip === undefined || isUnspecified(ip) ? undefined : ip);
    });
  });
}
