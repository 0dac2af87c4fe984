/** Conntrack entries in few words, and a kernel that holds them. */
import type { ConntrackTable } from '../../../../src/dataplane/conntrack/ConntrackCleaner.js';
import type { ConntrackEntry, ConntrackTuple } from '../../../../src/kernel/conntrack/ConntrackEntry.js';
import { ConntrackStatus, IpProtocol } from '../../../../src/kernel/conntrack/constants.js';
import { type ConntrackFilter, matches } from '../../../../src/kernel/conntrack/requests.js';
import { familyOf, type IpAddress, type IpFamily } from '../../../../src/net/ip.js';
import { ip } from '../../../support/builders.js';

export interface Flow {
  readonly protocol?: 'UDP' | 'TCP' | 'SCTP';
  /** `10.0.0.1:1000`; that unless told otherwise. */
  readonly from?: string;
  /** Where the client sent to. */
  readonly to: string;
  /** Whom NAT sent it to; nobody else than `to` unless told otherwise. */
  readonly nat?: string;
  readonly replied?: 'replied';
  readonly zone?: number;
}

const NUMBER = { UDP: IpProtocol.UDP, TCP: IpProtocol.TCP, SCTP: 132 } as const;

export function entryOf({ protocol = 'UDP', from, to, nat, replied, zone = 0 }: Flow): ConntrackEntry {
  const [destination, destinationPort] = split(to);
  const family = familyOf(destination);
  const [source, sourcePort] = split(from ?? (family === 'IPv4' ? '10.0.0.1:1000' : '[fd00::1]:1000'));
  const [answerer, answererPort] = split(nat ?? to);
  const number = NUMBER[protocol];
  const original: ConntrackTuple = {
    family,
    protocol: number,
    source,
    destination,
    sourcePort,
    destinationPort,
  };
  const reply: ConntrackTuple = {
    family,
    protocol: number,
    source: answerer,
    destination: source,
    sourcePort: answererPort,
    destinationPort: sourcePort,
  };
  const status = replied === undefined ? 0 : ConntrackStatus.SEEN_REPLY;
  return {
    original,
    reply,
    status,
    id: 1,
    zone,
    tcpState: protocol === 'TCP' ? 1 : undefined,
    bytes: undefined,
  };
}

function split(place: string): [IpAddress, number] {
  const colon = place.lastIndexOf(':');
  return [ip(place.slice(0, colon).replaceAll(/[[\]]/g, '')), Number(place.slice(colon + 1))];
}

/** A kernel in memory. */
export class FakeConntrack implements ConntrackTable {
  entries: ConntrackEntry[] = [];
  readonly lists: ConntrackFilter[] = [];
  /** Thrown by the next list(). */
  failure: Error | undefined;
  selects: readonly IpFamily[] = ['IPv4'];
  /** Runs when the kernel was asked and has not answered yet. */
  meanwhile: (() => void) | undefined;

  selectsReplySource(family: IpFamily): boolean {
    return this.selects.includes(family);
  }

  async list(filter: ConntrackFilter): Promise<readonly ConntrackEntry[]> {
    this.lists.push(filter);
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
    const found = this.entries.filter((entry) => matches(filter, entry));
    await new Promise((resolve) => setImmediate(resolve));
    this.meanwhile?.();
    return found;
  }

  async delete(entries: readonly ConntrackEntry[]): Promise<number> {
    const before = this.entries.length;
    this.entries = this.entries.filter((entry) => !entries.includes(entry));
    return before - this.entries.length;
  }
}
