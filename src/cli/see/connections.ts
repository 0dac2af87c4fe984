/** penstock connections: which clients are connected to which Service, and to which endpoint. Reads the kernel itself. */
import { Conntrack } from '../../kernel/conntrack/Conntrack.js';
import type { ConntrackEntry } from '../../kernel/conntrack/ConntrackEntry.js';
import { IpProtocol } from '../../kernel/conntrack/constants.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { IP_FAMILIES, joinHostPort } from '../../net/ip.js';
import { namesOf } from '../../observe/admin/adminApi.js';
import { type EndpointRow, type ServiceRow, serviceRows } from '../../observe/admin/serviceRows.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { type Look, look } from './look.js';
import { formatOf, OUTPUT_FLAG, print, printJson, table } from './output.js';
import { MODEL_FLAGS, MODEL_HELP } from './readModel.js';

const HELP = `penstock connections [NAMESPACE/SERVICE] [--limit N] [-o json]

Lists connections of this node to Services, from the kernel's connection table.
Needs root.

  --limit N              at most so many (default 200)

${MODEL_HELP}`;

const PROTOCOLS = { TCP: IpProtocol.TCP, UDP: IpProtocol.UDP, SCTP: 132 } as const;
/** enum tcp_conntrack of linux/netfilter/nf_conntrack_tcp.h. */
const TCP_STATES = [
  'none',
  'connecting',
  'connecting',
  'open',
  'closing',
  'closing',
  'closing',
  'closing',
  'closed',
];
const SEEN_REPLY = 2;
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const DEFAULT_LIMIT = 200;

interface Connection {
  readonly client: string;
  readonly clientPod: string;
  readonly service: string;
  readonly destination: string;
  readonly protocol: string;
  readonly endpoint: string;
  readonly endpointPod: string;
  readonly state: string;
}

export async function connections(argv: readonly string[]): Promise<number> {
  const { values, words } = readArguments(argv, {
    options: { ...OUTPUT_FLAG, ...MODEL_FLAGS, limit: { type: 'string' } },
    words: [0, 1],
    wordsText: 'NAMESPACE/SERVICE',
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const format = formatOf(values.output);
  const limit = readLimit(values.limit);
  const [service = ''] = words;
  const names = await namesFrom(await look(values));
  const shown: Connection[] = [];
  let count = 0;
  for (const [protocol, entry] of await readEntries()) {
    const connection = connectionOf(protocol, entry, names);
    if (!connection || (service !== '' && connection.service.split(':')[0] !== service)) continue;
    if (count++ < limit) shown.push(connection);
  }
  if (format === 'json') printJson({ count, items: shown });
  else print(connectionsText(shown, count));
  return 0;
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LIMIT;
  if (!/^\d{1,7}$/.test(text)) throw new WrongCall(`--limit ${JSON.stringify(text)} is no number`);
  return Number(text);
}

interface Names {
  /** By `address port/protocol`. */
  readonly services: ReadonlyMap<string, string>;
  readonly nodePorts: ReadonlyMap<string, string>;
  readonly pods: ReadonlyMap<string, string>;
}

async function namesFrom(found: Look): Promise<Names> {
  const rows =
    found.from === 'agent'
      ? await found.agent.list<ServiceRow>('/v1/services')
      : serviceRows(found.model.table);
  const services = new Map<string, string>();
  const nodePorts = new Map<string, string>();
  for (const row of rows) {
    const name = row.portName === '' ? row.service : `${row.service}:${row.portName}`;
    for (const ip of [...row.clusterIPs, ...row.externalIPs, ...row.loadBalancerIPs])
      services.set(`${ip} ${row.port}/${row.protocol}`, name);
    if (row.nodePort !== 0) nodePorts.set(`${row.nodePort}/${row.protocol}`, name);
  }
  const pods = new Map<string, string>();
  if (found.from === 'model') for (const [ip, { pod }] of namesOf(found.model.table)) pods.set(ip, pod);
  else
    for (const { endpoint, pod } of await found.agent.list<EndpointRow>('/v1/endpoints'))
      pods.set(endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/[[\]]/g, ''), pod);
  return { services, nodePorts, pods };
}

async function readEntries(): Promise<(readonly [keyof typeof PROTOCOLS, ConntrackEntry])[]> {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
    receiveBufferBytes: RECEIVE_BUFFER_BYTES,
  });
  try {
    const conntrack = new Conntrack(channel);
    const found: (readonly [keyof typeof PROTOCOLS, ConntrackEntry])[] = [];
    for (const family of IP_FAMILIES) {
      for (const protocol of Object.keys(PROTOCOLS) as (keyof typeof PROTOCOLS)[]) {
        const entries = await conntrack.list({ family, protocol: PROTOCOLS[protocol] });
        for (const entry of entries) found.push([protocol, entry]);
      }
    }
    return found;
  } finally {
    channel.close();
  }
}

/** Undefined for what is no connection to a Service. */
function connectionOf(
  protocol: keyof typeof PROTOCOLS,
  { original, reply, status, tcpState }: ConntrackEntry,
  { services, nodePorts, pods }: Names,
): Connection | undefined {
  const { source, sourcePort, destination, destinationPort } = original;
  const isSent = reply.source !== destination || reply.sourcePort !== destinationPort;
  const service =
    services.get(`${destination} ${destinationPort}/${protocol}`) ??
    (isSent ? nodePorts.get(`${destinationPort}/${protocol}`) : undefined);
  if (service === undefined) return undefined;
  const answered = (status & SEEN_REPLY) !== 0;
  return {
    client: joinHostPort(source, sourcePort),
    clientPod: pods.get(source) ?? '',
    service,
    destination: joinHostPort(destination, destinationPort),
    protocol,
    endpoint: isSent ? joinHostPort(reply.source, reply.sourcePort) : '',
    endpointPod: isSent ? (pods.get(reply.source) ?? '') : '',
    state: answered ? (tcpState === undefined ? 'answered' : (TCP_STATES[tcpState] ?? 'open')) : 'no answer',
  };
}

function connectionsText(rows: readonly Connection[], count: number): string[] {
  if (rows.length === 0) return ['no connections to Services'];
  const columns = [
    { title: 'CLIENT', shrinks: true },
    { title: 'SERVICE', shrinks: true },
    { title: 'ENDPOINT', shrinks: true },
    { title: 'STATE' },
  ];
  const cells = rows.map((row) => [
    row.clientPod || row.client,
    `${row.service}/${row.protocol}`,
    row.endpointPod || row.endpoint || '-',
    row.state,
  ]);
  const rest = count - rows.length;
  return [...table(columns, cells), ...(rest > 0 ? [`and ${rest} more`] : [])];
}
