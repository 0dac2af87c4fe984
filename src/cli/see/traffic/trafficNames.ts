/** The Services that connections of the kernel's table belong to, by name. */
import { type ConntrackEntry, isSentOn } from '../../../kernel/conntrack/ConntrackEntry.js';
import { IpProtocol } from '../../../kernel/conntrack/constants.js';
import { namesOf } from '../../../observe/admin/adminApi.js';
import type { EndpointRow } from '../../../observe/admin/serviceRows.js';
import { type Look, servicesOf } from '../look.js';

const PROTOCOLS = { TCP: IpProtocol.TCP, UDP: IpProtocol.UDP, SCTP: IpProtocol.SCTP } as const;
export type ProtocolName = keyof typeof PROTOCOLS;

/** An IPPROTO_* by name. */
export function protocolName(number: number): ProtocolName | undefined {
  return (Object.keys(PROTOCOLS) as ProtocolName[]).find((name) => PROTOCOLS[name] === number);
}

export interface ServicePlaces {
  /** `namespace/service:port name`, by `address port/protocol`. */
  readonly vips: ReadonlyMap<string, string>;
  /** Likewise, by `port/protocol`. */
  readonly nodePorts: ReadonlyMap<string, string>;
}

export async function readPlaces(found: Look): Promise<ServicePlaces> {
  const vips = new Map<string, string>();
  const nodePorts = new Map<string, string>();
  for (const row of await servicesOf(found)) {
    const name = row.portName === '' ? row.service : `${row.service}:${row.portName}`;
    for (const ip of [...row.clusterIPs, ...row.externalIPs, ...row.loadBalancerIPs])
      vips.set(`${ip} ${row.port}/${row.protocol}`, name);
    if (row.nodePort !== 0) nodePorts.set(`${row.nodePort}/${row.protocol}`, name);
  }
  return { vips, nodePorts };
}

/** Pods by address, of every Service or of one (`namespace/name`). */
export async function readPods(found: Look, service = ''): Promise<ReadonlyMap<string, string>> {
  const pods = new Map<string, string>();
  if (found.from === 'model') for (const [ip, { pod }] of await namesOf(found.model.table)) pods.set(ip, pod);
  else
    for (const { endpoint, pod } of await found.agent.list<EndpointRow>('/v1/endpoints', { service }))
      pods.set(endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/[[\]]/g, ''), pod);
  return pods;
}

/** Undefined for what is no connection to a Service. */
export function serviceOf(
  entry: ConntrackEntry,
  protocol: ProtocolName,
  { vips, nodePorts }: ServicePlaces,
): string | undefined {
  const { destination, destinationPort } = entry.original;
  return (
    vips.get(`${destination} ${destinationPort}/${protocol}`) ??
    (isSentOn(entry) ? nodePorts.get(`${destinationPort}/${protocol}`) : undefined)
  );
}

/** `namespace/service:port name` against `namespace/service`, with or without the port name. */
export function isOfService(name: string, asked: string): boolean {
  return asked === '' || name === asked || name.split(':')[0] === asked;
}
