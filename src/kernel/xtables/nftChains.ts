/** Which chains iptables-nft would show: a question to nf_tables itself, where a process would cost a hundred times as much. */
import type { IpFamily } from '../../net/ip.js';
import { NETFILTER_HEADER, NetlinkProtocol } from '../netlink/constants.js';
import type { Message } from '../netlink/Message.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { NetlinkError } from '../netlink/NetlinkError.js';
import { beginNetfilterMessage } from '../netlink/nfnetlink.js';
import { ChainAttribute, FAMILY_NUMBER, NftMessage } from '../nftables/constants.js';

/** False also where nf_tables is not there, or may not be asked. */
export type ChainExists = (family: IpFamily, table: string, chain: string) => Promise<boolean>;

export const nftChainExists: ChainExists = (family, table, chain) =>
  asked(false, (channel) => find(channel, family, table, chain));

/** What a kernel without nf_tables, or without this family, answers, and one that has no such chain. */
const NOT_THERE: readonly string[] = ['ENOENT', 'EINVAL', 'EOPNOTSUPP', 'EAFNOSUPPORT'];

/** The same, for whoever must know: rejects with NetlinkError when the kernel may have it and does not say. */
export const nftChainIsThere: ChainExists = (family, table, chain) =>
  asked(
    false,
    (channel) => find(channel, family, table, chain),
    ({ code }) => NOT_THERE.includes(code),
  );

async function find(channel: NetlinkChannel, family: IpFamily, table: string, chain: string): Promise<true> {
  const writer = new MessageWriter(128);
  beginNetfilterMessage(writer, NftMessage.GET_CHAIN, 0, FAMILY_NUMBER[family]);
  writer.string(ChainAttribute.TABLE, table);
  writer.string(ChainAttribute.NAME, chain);
  writer.endMessage();
  await channel.request(`look for chain ${chain} of table ${table}`, writer);
  return true;
}

/** Of all tables of a family, as often as there are such; undefined where nf_tables is not there, or may not be asked. */
export function nftChainNames(family: IpFamily): Promise<readonly string[] | undefined> {
  return asked(undefined, async (channel) => {
    const writer = new MessageWriter(128);
    beginNetfilterMessage(writer, NftMessage.GET_CHAIN, 0, FAMILY_NUMBER[family]);
    writer.endMessage();
    return (await channel.dump(`list chains of ${family}`, writer)).map(nameOf);
  });
}

function nameOf(message: Message): string {
  const reader = message.attributes(NETFILTER_HEADER);
  while (reader.next()) if (reader.type === ChainAttribute.NAME) return reader.string();
  return '';
}

/** `isRefusal`: of which errors of the kernel `refused` is the answer. */
async function asked<Answer>(
  refused: Answer,
  question: (channel: NetlinkChannel) => Promise<Answer>,
  isRefusal: (error: NetlinkError) => boolean = () => true,
): Promise<Answer> {
  try {
    return await NetlinkChannel.using(NetlinkProtocol.NETFILTER, question);
  } catch (error) {
    if (error instanceof NetlinkError && isRefusal(error)) return refused;
    throw error;
  }
}
