/** Addresses that a server listens on: `0.0.0.0:10256`, `[::]:10256`. */
import { type IpAddress, joinHostPort, parseIp } from '../net/ip.js';

export interface HostPort {
  readonly host: IpAddress;
  /** 1..65535 */
  readonly port: number;
}

/** Undefined unless the text is `IPv4:port` or `[IPv6]:port`. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match && parseIp(match[1] ?? match[2] ?? '');
  const port = Number(match?.[3]);
  return host && port >= 1 && port <= 65535 ? { host, port } : undefined;
}

/** Adds the port to a lone IP address; any other text is returned as it is. */
export function withPort(address: string, port: number): string {
  const ip = parseIp(address);
  return ip ? joinHostPort(ip, port) : address;
}
