/** Has the kernel tell of the packets that match a pattern, rule by rule, for as long as this is open. */
import { NetlinkProtocol } from '../../netlink/constants.js';
import { MessageWriter } from '../../netlink/MessageWriter.js';
import { NetlinkChannel } from '../../netlink/NetlinkChannel.js';
import { NetlinkError } from '../../netlink/NetlinkError.js';
import { beginNetfilterMessage } from '../../netlink/nfnetlink.js';
import { NftMessage, RuleAttribute, TRACE_GROUP } from '../constants.js';
import { writeTransaction } from '../writeTransaction.js';
import { decodeTrace, readRuleComment, type TraceEvent } from './decodeTrace.js';
import { type TracePattern, traceTable } from './traceTable.js';

const RECEIVE_BUFFER_BYTES = 1024 * 1024;

export class PacketTrace {
  readonly #channel: NetlinkChannel;

  private constructor(channel: NetlinkChannel) {
    this.#channel = channel;
  }

  /** Rejects with NetlinkError: EPERM without root or while another trace runs, EOPNOTSUPP before Linux 5.12. */
  static async open(pattern: TracePattern, take: (event: TraceEvent) => void): Promise<PacketTrace> {
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
      receiveBufferBytes: RECEIVE_BUFFER_BYTES,
    });
    try {
      channel.listen([TRACE_GROUP], {
        message: (message) => {
          const event = message.type === NftMessage.TRACE ? decodeTrace(message) : undefined;
          if (event) take(event);
        },
        // A packet with a gap in it is shown as far as it was seen.
        lost: () => {},
      });
      const { writer } = writeTransaction(traceTable(pattern));
      const [refused] = await channel.transaction('write the table of the trace', writer);
      if (refused) throw refused;
      return new PacketTrace(channel);
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  /** '' for a rule without a comment, or that is gone. */
  async commentOf({ family, table, chain, handle }: TraceEvent): Promise<string> {
    const writer = new MessageWriter(128);
    beginNetfilterMessage(writer, NftMessage.GET_RULE, 0, family);
    writer.string(RuleAttribute.TABLE, table);
    writer.string(RuleAttribute.CHAIN, chain);
    writer.u64be(RuleAttribute.HANDLE, handle);
    writer.endMessage();
    try {
      const [rule] = await this.#channel.request(`read rule ${handle} of ${chain}`, writer);
      return rule === undefined ? '' : readRuleComment(rule);
    } catch (error) {
      if (error instanceof NetlinkError) return '';
      throw error;
    }
  }

  /** The table goes with the socket. */
  close(): void {
    this.#channel.close();
  }
}
