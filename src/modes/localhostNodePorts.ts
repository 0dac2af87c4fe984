/** Node ports on loopback in modes nftables and ipvs: connections are redirected to the agent, which passes them on. */

import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { LocalhostOptions, RedirectedFlow } from '../dataplane/localhost/LocalhostOptions.js';
import { LocalhostProxy } from '../dataplane/localhost/LocalhostProxy.js';
import { messageOf } from '../errors.js';
import type { Conntrack } from '../kernel/conntrack/Conntrack.js';
import { IpProtocol } from '../kernel/conntrack/constants.js';
import { type Cidr, cidrContains, familyOf, type IpAddress, type IpFamily, isLoopback } from '../net/ip.js';
import { includesIpv4Loopback } from '../net/nodePortAddresses.js';
import type { Clock } from '../time/Clock.js';

/** Families whose node ports are wanted on loopback; the default `primary` counts as wanting it, as it does not exclude it. */
export function localhostFamilies(
  { localhostNodePorts, nodePortAddresses }: Pick<NodeConfig, 'localhostNodePorts' | 'nodePortAddresses'>,
  families: readonly IpFamily[],
): readonly IpFamily[] {
  if (!localhostNodePorts) return [];
  if (nodePortAddresses === 'primary') return families;
  return families.filter((family) =>
    family === 'IPv4'
      ? includesIpv4Loopback(nodePortAddresses, undefined)
      : includesIpv6Loopback(nodePortAddresses),
  );
}

function includesIpv6Loopback(ranges: readonly (Cidr | 'primary')[]): boolean {
  const own = ranges.flatMap((range) => (range !== 'primary' && familyOf(range) === 'IPv6' ? [range] : []));
  return own.length === 0 || own.some((range) => cidrContains(range, '::1' as IpAddress));
}

/** Undefined when there is nothing to listen for, or nothing that can be listened on; the log then says why. */
export async function openLocalhostProxy(
  families: readonly IpFamily[],
  conntrack: Conntrack,
  servicePort: LocalhostOptions['servicePort'],
  clock: Clock,
  log: Logger,
): Promise<LocalhostProxy | undefined> {
  if (families.length === 0) return undefined;
  try {
    return await LocalhostProxy.open(families, {
      originalPort: (flow) => originalPort(conntrack, flow, log),
      servicePort,
      clock,
    });
  } catch (error) {
    log.warn({ err: error }, `node ports are not served on localhost: ${messageOf(error)}`);
    return undefined;
  }
}

/** Where it listens for node ports of a family. */
export function portsOf(
  proxy: LocalhostProxy | undefined,
  family: IpFamily,
): { readonly tcp?: number; readonly udp?: number } {
  const [tcp, udp] = [proxy?.port(family, 'TCP'), proxy?.port(family, 'UDP')];
  return { ...(tcp === undefined ? {} : { tcp }), ...(udp === undefined ? {} : { udp }) };
}

async function originalPort(
  conntrack: Conntrack,
  flow: RedirectedFlow,
  log: Logger,
): Promise<number | undefined> {
  const { family, protocol, client, proxy } = flow;
  try {
    const entry = await conntrack.find({
      family,
      protocol: protocol === 'TCP' ? IpProtocol.TCP : IpProtocol.UDP,
      source: proxy.address,
      destination: client.address,
      sourcePort: proxy.port,
      destinationPort: client.port,
    });
    // Without its entry, a late answer of ours begins a connection of its own, which says nothing.
    const answers = entry?.reply.source === proxy.address && entry.reply.sourcePort === proxy.port;
    return answers && isLoopback(entry.original.destination) ? entry.original.destinationPort : undefined;
  } catch (error) {
    log.warn({ err: error }, `a connection to a node port on localhost cannot be told: ${messageOf(error)}`);
    return undefined;
  }
}
