/** Whether iptables-nft would show a chain: a question to nf_tables itself, where a process would cost a hundred times as much. */
import type { IpFamily } from '../../net/ip.js';
import { NetlinkProtocol } from '../netlink/constants.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { NetlinkError } from '../netlink/NetlinkError.js';
import { beginNetfilterMessage } from '../netlink/nfnetlink.js';
import { ChainAttribute, FAMILY_NUMBER, NftMessage } from '../nftables/constants.js';

/** False also where nf_tables is not there, or may not be asked. */
export type ChainExists = (family: IpFamily, table: string, chain: string) => Promise<boolean>;

export const nftChainExists: ChainExists = async (family, table, chain) => {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
  try {
    const writer = new MessageWriter(128);
    beginNetfilterMessage(writer, NftMessage.GET_CHAIN, 0, FAMILY_NUMBER[family]);
    writer.string(ChainAttribute.TABLE, table);
    writer.string(ChainAttribute.NAME, chain);
    writer.endMessage();
    await channel.request(`look for chain ${chain} of table ${table}`, writer);
    return true;
  } catch (error) {
    if (error instanceof NetlinkError) return false;
    throw error;
  } finally {
    channel.close();
  }
};
