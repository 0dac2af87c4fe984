/** The addresses of the simulated node. */
import type { IpAddress, IpFamily } from '../../src/net/ip.js';
import { ip } from '../support/builders.js';
import { NODE_ADDRESSES } from './Cluster.js';

export const HOST_ADDRESSES: readonly IpAddress[] = [...NODE_ADDRESSES, '127.0.0.1', '::1'].map(ip);
/** Those that stand for the node until its Node object is known. */
export const FALLBACK: Readonly<Record<IpFamily, IpAddress>> = {
  IPv4: ip(NODE_ADDRESSES[0]),
  IPv6: ip(NODE_ADDRESSES[1]),
};
