/** The kernel's table of connections (ctnetlink, linux/netfilter/nfnetlink_conntrack.h). */
import { release } from 'node:os';
import { PenstockError } from '../../errors.js';
import { type IpFamily, joinHostPort } from '../../net/ip.js';
import { MessageFlag } from '../netlink/constants.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import type { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { NetlinkError } from '../netlink/NetlinkError.js';
import type { ConntrackEntry, ConntrackTuple } from './ConntrackEntry.js';
import { EntryDecoder } from './decodeEntry.js';
import {
  type ConntrackFilter,
  dumpAllRequest,
  dumpRequest,
  getRequest,
  kernelSelectsReplySource,
  matches,
  putDelete,
} from './requests.js';

/** Messages of one sendmsg. Were each refused, the answers must still fit a receive buffer of 208 KiB. */
const DELETES_PER_BATCH = 128;

/**
 * Every method rejects with PENSTOCK_CONNTRACK_UNSUPPORTED when this kernel has no ctnetlink, and with NetlinkError
 * when the kernel refuses (EPERM).
 */
export class Conntrack {
  readonly #channel: NetlinkChannel;
  readonly #kernelRelease: string;

  /** `channel` is of NetlinkProtocol.NETFILTER. `kernelRelease` as uname -r tells it. */
  constructor(channel: NetlinkChannel, kernelRelease: string = release()) {
    this.#channel = channel;
    this.#kernelRelease = kernelRelease;
  }

  /** Whether list() with a reply source spares us the entries with others: 40,000 of them take a tenth of a second. */
  selectsReplySource(family: IpFamily): boolean {
    return kernelSelectsReplySource(this.#kernelRelease, family);
  }

  /** The entries that match, of all zones. The kernel selects as far as it can, list() does the rest. */
  async list(filter: ConntrackFilter): Promise<readonly ConntrackEntry[]> {
    const { replySource, ...byProtocol } = filter;
    const selects = replySource === undefined || this.selectsReplySource(filter.family);
    const request = dumpRequest(selects ? filter : byProtocol);
    const messages = await supported(this.#channel.dump('list connections', request));
    const decoder = new EntryDecoder();
    const entries: ConntrackEntry[] = [];
    for (const { payload } of messages) {
      const entry = decoder.decode(payload);
      if (entry !== undefined && matches(filter, entry)) entries.push(entry);
    }
    return entries;
  }

  /**
   * Hands on every entry with these status bits, of all families and zones, in one walk of the kernel over its table; keeps none.
   * `take` returns false to hear of no more: the rest is not even decoded.
   */
  async each(status: ConntrackFilter['status'], take: (entry: ConntrackEntry) => boolean): Promise<void> {
    const decoder = new EntryDecoder();
    let isWanted = true;
    await supported(
      this.#channel.stream('list connections', dumpAllRequest(status), ({ payload }) => {
        const entry = isWanted ? decoder.decode(payload) : undefined;
        if (entry === undefined) return;
        if (status !== undefined && (entry.status & status.mask) !== status.value) return;
        isWanted = take(entry);
      }),
    );
  }

  /** Removes these very entries. Returns how many; the others had ended, or given way to new ones, before. */
  async delete(entries: readonly ConntrackEntry[]): Promise<number> {
    let deleted = 0;
    const writer = new MessageWriter();
    for (let first = 0; first < entries.length; first += DELETES_PER_BATCH) {
      const batch = entries.slice(first, first + DELETES_PER_BATCH);
      writer.clear();
      for (const entry of batch) putDelete(writer, entry);
      writer.addFlags(MessageFlag.ACK);
      const refused = await supported(this.#channel.batch('delete connections', writer));
      const fault = refused.find((error) => error.code !== 'ENOENT');
      if (fault !== undefined) throw asUnsupported(fault);
      deleted += batch.length - refused.length;
    }
    return deleted;
  }

  /**
   * The entry of zone 0 that has `tuple` as its original or its reply direction, if there is one. With the tuple that
   * a socket answers with (source: its own address), it tells where a redirected connection was going.
   */
  async find(tuple: ConntrackTuple): Promise<ConntrackEntry | undefined> {
    const from = joinHostPort(tuple.source, tuple.sourcePort);
    const to = joinHostPort(tuple.destination, tuple.destinationPort);
    try {
      const [message] = await supported(
        this.#channel.request(`find the connection from ${from} to ${to}`, getRequest(tuple)),
      );
      return message && new EntryDecoder().decode(message.payload);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }
}

/** A part of netfilter that is neither built in nor loadable answers EINVAL, whatever it is asked. */
const NOT_SUPPORTED: readonly string[] = ['EINVAL', 'EOPNOTSUPP', 'EPROTONOSUPPORT'];

async function supported<Result>(request: Promise<Result>): Promise<Result> {
  try {
    return await request;
  } catch (error) {
    throw asUnsupported(error);
  }
}

function asUnsupported(cause: unknown): unknown {
  if (!(cause instanceof NetlinkError && NOT_SUPPORTED.includes(cause.code))) return cause;
  return new PenstockError(
    'PENSTOCK_CONNTRACK_UNSUPPORTED',
    `this kernel does not let us see its connections: ${cause.message}`,
    { cause, remedy: 'Load the kernel module nf_conntrack_netlink.' },
  );
}
