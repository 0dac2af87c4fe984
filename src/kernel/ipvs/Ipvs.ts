/** The kernel's IPVS over generic netlink (linux/ip_vs.h, net/netfilter/ipvs/ip_vs_ctl.c). */
import { PenstockError } from '../../errors.js';
import { type ChangeCodec, commitChanges, type Refused } from '../netlink/commitChanges.js';
import { beginGenericMessage, findGenericFamily } from '../netlink/genericNetlink.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import type { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { NetlinkError } from '../netlink/NetlinkError.js';
import { Command, CommandAttribute, FAMILY_NAME } from './constants.js';
import { decodeDestination, decodeInfo, decodeService, decodeTimeouts } from './decode.js';
import type { IpvsChange } from './IpvsChange.js';
import type { IpvsInfo, IpvsTimeouts } from './IpvsInfo.js';
import { putChange, putService } from './messages.js';
import { printChange } from './printChange.js';
import type { RealServerState } from './RealServer.js';
import { type VirtualServerId, type VirtualServerState, virtualServerKey } from './VirtualServer.js';

/** Every method rejects with NetlinkError when the kernel refuses or does not answer. */
export class Ipvs {
  readonly #channel: NetlinkChannel;
  readonly #family: number;
  readonly #codec: ChangeCodec<IpvsChange>;

  /**
   * `channel` is of NetlinkProtocol.GENERIC, and stays the caller's to close. The kernel loads ip_vs when it can.
   * Rejects with PENSTOCK_IPVS_UNSUPPORTED when it has none.
   */
  static async open(channel: NetlinkChannel): Promise<Ipvs> {
    const family = await findGenericFamily(channel, FAMILY_NAME);
    if (family !== undefined) return new Ipvs(channel, family);
    throw new PenstockError('PENSTOCK_IPVS_UNSUPPORTED', 'this kernel has no IPVS', {
      remedy: 'Load the kernel module ip_vs (modprobe ip_vs), or choose another mode.',
    });
  }

  private constructor(channel: NetlinkChannel, family: number) {
    this.#channel = channel;
    this.#family = family;
    this.#codec = { put: (writer, change) => putChange(writer, family, change), print: printChange };
  }

  /**
   * Carries out the changes in their order, with few system calls. Resolves to those that were refused, each with its
   * error; the others took effect.
   */
  async commit(changes: readonly IpvsChange[]): Promise<readonly Refused<IpvsChange>[]> {
    return commitChanges(this.#channel, changes, this.#codec);
  }

  async info(): Promise<IpvsInfo> {
    const messages = await this.#channel.request(
      'ask for the version of IPVS',
      this.#message(Command.GET_INFO),
    );
    return decodeInfo(messages);
  }

  /** All virtual servers, other people's too. */
  async listServices(): Promise<readonly VirtualServerState[]> {
    const messages = await this.#channel.dump('list virtual servers', this.#message(Command.GET_SERVICE));
    return messages.map(decodeService).filter((service) => service !== undefined);
  }

  /** Undefined when it is not there. */
  async getService(id: VirtualServerId): Promise<VirtualServerState | undefined> {
    const writer = this.#message(Command.GET_SERVICE, id);
    try {
      const [message] = await this.#channel.request(`read virtual server ${virtualServerKey(id)}`, writer);
      return message && decodeService(message);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ESRCH') return undefined;
      throw error;
    }
  }

  /** The real servers of a virtual server; none when there is no such virtual server. */
  async listDestinations(id: VirtualServerId): Promise<readonly RealServerState[]> {
    const what = `list real servers of ${virtualServerKey(id)}`;
    const messages = await this.#channel.dump(what, this.#message(Command.GET_DESTINATION, id));
    return messages
      .map((message) => decodeDestination(message, id.family))
      .filter((destination) => destination !== undefined);
  }

  async getTimeouts(): Promise<IpvsTimeouts> {
    const messages = await this.#channel.request(
      'read the timeouts of IPVS',
      this.#message(Command.GET_CONFIG),
    );
    return decodeTimeouts(messages);
  }

  async setTimeouts({ tcp, tcpFin, udp }: IpvsTimeouts): Promise<void> {
    const writer = new MessageWriter(64);
    beginGenericMessage(writer, this.#family, Command.SET_CONFIG);
    writer.u32(CommandAttribute.TIMEOUT_TCP, tcp);
    writer.u32(CommandAttribute.TIMEOUT_TCP_FIN, tcpFin);
    writer.u32(CommandAttribute.TIMEOUT_UDP, udp);
    writer.endMessage();
    await this.#channel.request(`ipvsadm --set ${tcp} ${tcpFin} ${udp}`, writer);
  }

  #message(command: number, service?: VirtualServerId): MessageWriter {
    const writer = new MessageWriter(128);
    beginGenericMessage(writer, this.#family, command);
    if (service !== undefined) putService(writer, service);
    writer.endMessage();
    return writer;
  }
}
