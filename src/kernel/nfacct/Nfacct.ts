/** Named packet and byte counters of the kernel (linux/netfilter/nfnetlink_acct.h), counted by iptables rules. */
import { PenstockError } from '../../errors.js';
import { MessageFlag, NETFILTER_HEADER, NetfilterSubsystem } from '../netlink/constants.js';
import type { Message } from '../netlink/Message.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import type { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { NetlinkError } from '../netlink/NetlinkError.js';
import { beginNetfilterMessage, netfilterType } from '../netlink/nfnetlink.js';

const MessageType = {
  NEW: netfilterType(NetfilterSubsystem.ACCT, 0),
  GET: netfilterType(NetfilterSubsystem.ACCT, 1),
  DELETE: netfilterType(NetfilterSubsystem.ACCT, 3),
} as const;

const Attribute = { NAME: 1, PACKETS: 2, BYTES: 3 } as const;

/** NFACCT_NAME_MAX without the final NUL, bytes. */
const MAX_NAME = 31;

export interface NfacctCounters {
  readonly packets: number;
  readonly bytes: number;
}

/**
 * Every method rejects with PENSTOCK_NFACCT_UNSUPPORTED when this kernel has no nfnetlink_acct, with
 * NetlinkError when the kernel refuses (EPERM, EBUSY), and with RangeError on a name of 0 or more than 31 bytes.
 */
export class Nfacct {
  readonly #channel: NetlinkChannel;

  /** `channel` is of NetlinkProtocol.NETFILTER. */
  constructor(channel: NetlinkChannel) {
    this.#channel = channel;
  }

  /** Makes the object, counting from 0; one that exists is left alone. */
  async create(name: string): Promise<void> {
    const writer = named(name, MessageType.NEW, MessageFlag.CREATE | MessageFlag.EXCLUSIVE);
    await this.#unless('EEXIST', this.#channel.request(`create nfacct object ${name}`, writer));
  }

  /** Removes the object, if there is one. EBUSY as long as a rule uses it. */
  async delete(name: string): Promise<void> {
    const writer = named(name, MessageType.DELETE, 0);
    await this.#unless('ENOENT', this.#channel.request(`delete nfacct object ${name}`, writer));
  }

  /** The counters of all objects, by name. They go on counting. */
  async list(): Promise<ReadonlyMap<string, NfacctCounters>> {
    const writer = new MessageWriter(64);
    beginNetfilterMessage(writer, MessageType.GET);
    writer.endMessage();
    const messages = await supported(this.#channel.dump('list nfacct objects', writer));
    return new Map(messages.map(readObject));
  }

  async #unless(harmless: string, request: Promise<unknown>): Promise<void> {
    try {
      await supported(request);
    } catch (error) {
      if (!(error instanceof NetlinkError && error.code === harmless)) throw error;
    }
  }
}

function named(name: string, type: number, flags: number): MessageWriter {
  const size = Buffer.byteLength(name);
  if (size === 0 || size > MAX_NAME) {
    throw new RangeError(
      `nfacct object ${JSON.stringify(name)}: a name has 1 to ${MAX_NAME} bytes, not ${size}`,
    );
  }
  const writer = new MessageWriter(64);
  beginNetfilterMessage(writer, type, flags);
  writer.string(Attribute.NAME, name);
  writer.endMessage();
  return writer;
}

function readObject(message: Message): [string, NfacctCounters] {
  let name = '';
  let packets = 0;
  let bytes = 0;
  const attributes = message.attributes(NETFILTER_HEADER);
  while (attributes.next()) {
    if (attributes.type === Attribute.NAME) name = attributes.string();
    else if (attributes.type === Attribute.PACKETS) packets = attributes.u64be();
    else if (attributes.type === Attribute.BYTES) bytes = attributes.u64be();
  }
  return [name, { packets, bytes }];
}

/** A part of netfilter that is neither built in nor loadable answers EINVAL, whatever it is asked. */
const NOT_SUPPORTED: readonly string[] = ['EINVAL', 'EOPNOTSUPP', 'EPROTONOSUPPORT'];

async function supported<Result>(request: Promise<Result>): Promise<Result> {
  try {
    return await request;
  } catch (cause) {
    if (!(cause instanceof NetlinkError && NOT_SUPPORTED.includes(cause.code))) throw cause;
    throw new PenstockError(
      'PENSTOCK_NFACCT_UNSUPPORTED',
      `this kernel has no nfacct counters: ${cause.message}`,
      {
        cause,
        remedy: 'Load the kernel module nfnetlink_acct, or do without these metrics.',
      },
    );
  }
}
