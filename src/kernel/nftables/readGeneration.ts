/** The generation of the nf_tables rule set: whether anybody changed it. */
import { NETFILTER_HEADER, NetfilterSubsystem } from '../netlink/constants.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import type { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { NetlinkError } from '../netlink/NetlinkError.js';
import { beginNetfilterMessage, netfilterType } from '../netlink/nfnetlink.js';

/** NFT_MSG_GETGEN. */
const GET_GENERATION = netfilterType(NetfilterSubsystem.NFTABLES, 16);
/** NFTA_GEN_ID. */
const GENERATION_ID = 1;

/**
 * A number that differs after every change of any table of the channel's network namespace, by whichever program:
 * nft, iptables-nft, ourselves. Undefined when this kernel has no nf_tables. Rejects with NetlinkError.
 * `channel` is of NetlinkProtocol.NETFILTER.
 */
export async function readGeneration(channel: NetlinkChannel): Promise<number | undefined> {
  const writer = new MessageWriter(64);
  beginNetfilterMessage(writer, GET_GENERATION);
  writer.endMessage();
  try {
    const [message] = await channel.request('read the generation of the nftables rule set', writer);
    const attributes = message?.attributes(NETFILTER_HEADER);
    while (attributes?.next()) {
      if (attributes.type === GENERATION_ID) return attributes.u32be();
    }
    return undefined;
  } catch (error) {
    // A part of netfilter that is neither built in nor loadable answers EINVAL.
    if (error instanceof NetlinkError && error.code === 'EINVAL') return undefined;
    throw error;
  }
}
