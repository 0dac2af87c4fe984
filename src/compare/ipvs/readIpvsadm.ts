/** The output of `ipvsadm -Sn` (or `ipvsadm -Ln`) as virtual servers. */
import { PenstockError } from '../../errors.js';
import { type IpAddress, joinHostPort, parseIp } from '../../net/ip.js';
import type { Protocol } from '../../objects/Service.js';

export interface SavedServer {
  readonly protocol: Protocol;
  readonly address: IpAddress;
  readonly port: number;
  /** `10.244.0.11:8080`; those of weight 0 get no new connections and are left out. */
  readonly endpoints: Set<string>;
  /** Persistent: a client stays with its endpoint. */
  persistent: boolean;
}

const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map([
  ['-t', 'TCP'],
  ['-u', 'UDP'],
  ['--sctp-service', 'SCTP'],
  ['TCP', 'TCP'],
  ['UDP', 'UDP'],
  ['SCTP', 'SCTP'],
]);

/** By `TCP 10.96.0.1:443`. Throws PENSTOCK_RULES_UNREADABLE. Firewall marks (`-f`) are left out. */
export function readIpvsadm(text: string, name: string): Map<string, SavedServer> {
  const servers = new Map<string, SavedServer>();
  let listed: SavedServer | undefined;
  for (const [i, line] of text.split('\n').entries()) {
    const words = line.trim().split(/\s+/);
    const at = `${name}:${i + 1}`;
    if (words[0] === '' || (/^(IP|Prot|->)$/.test(words[0] ?? '') && !isEndpoint(words))) continue;
    const protocol = PROTOCOLS.get((words[0] === '-A' || words[0] === '-a' ? words[1] : words[0]) ?? '');
    if (words[0] === '-A') {
      listed = open(servers, at, protocol, words[2]);
      if (listed) listed.persistent = words.includes('-p');
    } else if (words[0] === '-a') {
      const server = open(servers, at, protocol, words[2]);
      const weight = words[words.indexOf('-w') + 1];
      addEndpoint(server, at, words[words.indexOf('-r') + 1], weight);
    } else if (words[0] === '->') addEndpoint(listed, at, words[1], words[3]);
    else if (words[0] === 'FWM') listed = undefined;
    else if (protocol !== undefined) {
      listed = open(servers, at, protocol, words[1]);
      if (listed) listed.persistent = words.includes('persistent');
    } else throw unreadable(at, `${JSON.stringify(line.trim())} is no line of ipvsadm -Sn or -Ln`);
  }
  return servers;
}

function isEndpoint(words: readonly string[]): boolean {
  return words[0] === '->' && splitHostPort(words[1]) !== undefined;
}

function open(
  servers: Map<string, SavedServer>,
  at: string,
  protocol: Protocol | undefined,
  place: string | undefined,
): SavedServer | undefined {
  if (protocol === undefined) return undefined;
  const split = splitHostPort(place);
  if (split === undefined) throw unreadable(at, `${JSON.stringify(place ?? '')} is no ADDRESS:PORT`);
  const key = serverKey(protocol, split.address, split.port);
  const server = servers.get(key) ?? { protocol, ...split, endpoints: new Set<string>(), persistent: false };
  servers.set(key, server);
  return server;
}

function addEndpoint(
  server: SavedServer | undefined,
  at: string,
  place: string | undefined,
  weight: string | undefined,
): void {
  if (server === undefined) return;
  const split = splitHostPort(place);
  if (split === undefined) throw unreadable(at, `${JSON.stringify(place ?? '')} is no ADDRESS:PORT`);
  if (weight !== '0') server.endpoints.add(joinHostPort(split.address, split.port));
}

export function serverKey(protocol: Protocol, address: IpAddress, port: number): string {
  return `${protocol} ${joinHostPort(address, port)}`;
}

function splitHostPort(text = ''): { address: IpAddress; port: number } | undefined {
  const at = text.lastIndexOf(':');
  const address = parseIp(text.slice(0, at).replace(/^\[|\]$/g, ''));
  const port = Number(text.slice(at + 1));
  return address !== undefined && Number.isInteger(port) ? { address, port } : undefined;
}

function unreadable(at: string, why: string): PenstockError {
  return new PenstockError('PENSTOCK_RULES_UNREADABLE', `${at}: ${why}`, {
    remedy: 'Give the output of `ipvsadm -Sn` as it is.',
  });
}
