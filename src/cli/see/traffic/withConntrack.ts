import { Conntrack } from '../../../kernel/conntrack/Conntrack.js';
import { NetlinkProtocol } from '../../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../kernel/netlink/NetlinkChannel.js';

const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

/** Opens the kernel's table of connections for as long as `use` takes. Rejects as it and Conntrack do. */
export async function withConntrack<Result>(use: (conntrack: Conntrack) => Promise<Result>): Promise<Result> {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
    receiveBufferBytes: RECEIVE_BUFFER_BYTES,
  });
  try {
    return await use(new Conntrack(channel));
  } finally {
    channel.close();
  }
}
