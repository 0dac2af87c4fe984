/** penstock connections: which clients are connected to which Service, and to which endpoint. Reads the kernel itself. */
import { type ConntrackEntry, isSentOn } from '../../../kernel/conntrack/ConntrackEntry.js';
import { ConntrackStatus } from '../../../kernel/conntrack/constants.js';
import { joinHostPort } from '../../../net/ip.js';
import { readArguments, readLimit } from '../../readArguments.js';
import { look } from '../look.js';
import { MODEL_FLAGS, MODEL_HELP } from '../modelFlags.js';
import { formatOf, OUTPUT_FLAG, print, printJson, table } from '../output.js';
import {
  isOfService,
  protocolName,
  readPlaces,
  readPods,
  type ServicePlaces,
  serviceOf,
} from './trafficNames.js';
import { withConntrack } from './withConntrack.js';

export const HELP = `penstock connections [NAMESPACE/SERVICE] [--limit N] [-o json]

Lists connections of this node to Services, from the kernel's connection table.
Needs root.

  --limit N              at most so many (default 200)

${MODEL_HELP}`;

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
  const limit = readLimit(values.limit) ?? DEFAULT_LIMIT;
  const [service = ''] = words;
  const found = await look(values);
  const places = await readPlaces(found);
  const pods = await readPods(found);
  const shown: Connection[] = [];
  let count = 0;
  const take = (entry: ConntrackEntry) => {
    const connection = connectionOf(entry, places, pods);
    if (connection && isOfService(connection.service, service) && count++ < limit) shown.push(connection);
    return true;
  };
  await withConntrack((conntrack) => conntrack.each(undefined, take));
  if (format === 'json') printJson({ count, items: shown });
  else print(connectionsText(shown, count));
  return 0;
}

/** Undefined for what is no connection to a Service. */
function connectionOf(
  entry: ConntrackEntry,
  places: ServicePlaces,
  pods: ReadonlyMap<string, string>,
): Connection | undefined {
  const protocol = protocolName(entry.original.protocol);
  const service = protocol && serviceOf(entry, protocol, places);
  if (protocol === undefined || service === undefined) return undefined;
  const { original, reply, status, tcpState } = entry;
  const { source, sourcePort, destination, destinationPort } = original;
  const isSent = isSentOn(entry);
  const answered = (status & ConntrackStatus.SEEN_REPLY) !== 0;
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
