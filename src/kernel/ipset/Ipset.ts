/** The kernel's sets over nfnetlink (linux/netfilter/ipset/ip_set.h, net/netfilter/ipset/ip_set_core.c). */
import { PenstockError } from '../../errors.js';
import { commitChanges, type Refused } from '../netlink/commitChanges.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import type { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { NetlinkError } from '../netlink/NetlinkError.js';
import {
  Command,
  CommandAttribute,
  LIST_HEADER,
  NETWORK_ORDER,
  NEWEST_PROTOCOL,
  NEWEST_REVISION,
  OLDEST_PROTOCOL,
} from './constants.js';
import { addElements, decodeHeader, decodeRange } from './decode.js';
import { beginSetMessage, familyNumber, putChange, putSetName } from './messages.js';
import { printChange } from './printChange.js';
import type { SetChange } from './SetChange.js';
import type { SetHeader, SetSpec } from './SetSpec.js';
import { explainSetError } from './setErrors.js';

/** A part of netfilter that is neither built in nor loadable answers EINVAL, whatever it is asked. */
const NOT_SUPPORTED: readonly string[] = ['EINVAL', 'EOPNOTSUPP', 'EPROTONOSUPPORT'];

/** Every method rejects with NetlinkError when the kernel refuses or does not answer. */
export class Ipset {
  readonly #channel: NetlinkChannel;
  readonly #protocol: number;
  /** By type and family. */
  readonly #revisions = new Map<string, number>();

  /**
   * `channel` is of NetlinkProtocol.NETFILTER, and stays the caller's to close. Rejects with PENSTOCK_IPSET_UNSUPPORTED
   * when this kernel has no sets or speaks no protocol of ours.
   */
  static async open(channel: NetlinkChannel): Promise<Ipset> {
    const writer = new MessageWriter(64);
    beginSetMessage(writer, Command.PROTOCOL, NEWEST_PROTOCOL);
    writer.endMessage();
    let oldest: number;
    let newest: number;
    try {
      const messages = await channel.request('ask for the protocol of ipset', writer);
      ({ oldest, newest } = decodeRange(messages, CommandAttribute.PROTOCOL));
    } catch (cause) {
      if (cause instanceof NetlinkError && NOT_SUPPORTED.includes(cause.code)) {
        throw unsupported('this kernel has no sets (ipset)', cause);
      }
      throw cause;
    }
    const protocol = Math.min(newest, NEWEST_PROTOCOL);
    if (protocol >= Math.max(oldest, OLDEST_PROTOCOL)) return new Ipset(channel, protocol);
    throw unsupported(
      `this kernel's ipset speaks protocols ${oldest} to ${newest}, penstock ${OLDEST_PROTOCOL} to ${NEWEST_PROTOCOL}`,
    );
  }

  private constructor(channel: NetlinkChannel, protocol: number) {
    this.#channel = channel;
    this.#protocol = protocol;
  }

  /**
   * Carries out the changes in their order, with few system calls. Resolves to those that were refused, each with its
   * error; the others took effect. Rejects with PENSTOCK_IPSET_UNSUPPORTED when the kernel lacks the type of a set that
   * is to be made.
   */
  async commit(changes: readonly SetChange[]): Promise<readonly Refused<SetChange>[]> {
    for (const change of changes) if (change.action === 'create') await this.#learnRevision(change.set);
    const versions = {
      protocol: this.#protocol,
      revision: (set: SetSpec) => this.#revisions.get(typeKey(set)) ?? 0,
    };
    return commitChanges(this.#channel, changes, {
      put: (writer, change) => putChange(writer, versions, change),
      print: printChange,
      explain: explainSetError,
    });
  }

  /** All sets, other people's too, without their elements. */
  async headers(): Promise<readonly SetHeader[]> {
    const writer = new MessageWriter(64);
    beginSetMessage(writer, Command.LIST, this.#protocol);
    writer.u32be(CommandAttribute.FLAGS | NETWORK_ORDER, LIST_HEADER);
    writer.endMessage();
    const messages = await this.#channel.dump('list sets', writer);
    return messages.map(decodeHeader).filter((header) => header !== undefined);
  }

  /** The elements of a set, each with its mark if it has one. Undefined when there is no such set. */
  async list({ name }: Pick<SetSpec, 'name'>): Promise<ReadonlyMap<string, number | undefined> | undefined> {
    const writer = new MessageWriter(64);
    beginSetMessage(writer, Command.LIST, this.#protocol);
    putSetName(writer, name);
    writer.endMessage();
    try {
      const elements = new Map<string, number | undefined>();
      for (const message of await this.#channel.dump(`list set ${name}`, writer))
        addElements(message, elements);
      return elements;
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** The kernel loads the module of a type when it is asked for it. */
  async #learnRevision(set: SetSpec): Promise<void> {
    if (this.#revisions.has(typeKey(set))) return;
    const writer = new MessageWriter(64);
    beginSetMessage(writer, Command.TYPE, this.#protocol);
    writer.string(CommandAttribute.TYPE_NAME, set.type);
    writer.u8(CommandAttribute.FAMILY, familyNumber(set));
    writer.endMessage();
    try {
      const messages = await this.#channel.request(`ask for sets of type ${set.type}`, writer);
      const { newest } = decodeRange(messages, CommandAttribute.REVISION);
      this.#revisions.set(typeKey(set), Math.min(newest, NEWEST_REVISION[set.type]));
    } catch (cause) {
      if (!(cause instanceof NetlinkError && explainSetError(cause.errno)?.code === 'IPSET_ERR_FIND_TYPE'))
        throw cause;
      throw unsupported(`this kernel has no sets of type ${set.type} (${set.family})`, cause);
    }
  }
}

function typeKey(set: SetSpec): string {
  return `${set.type} ${familyNumber(set)}`;
}

function unsupported(message: string, cause?: NetlinkError): PenstockError {
  return new PenstockError('PENSTOCK_IPSET_UNSUPPORTED', message, {
    cause,
    remedy: 'Load the kernel modules ip_set, ip_set_hash_* and ip_set_bitmap_port, or choose mode nftables.',
  });
}
