/** What mode iptables asks the kernel over netlink: packet counters, and whether anybody changed the rules. */
import type { Logger } from 'pino';
import type { IptablesHost } from '../dataplane/iptables/IptablesDataplane.js';
import { messageOf } from '../errors.js';
import { NetlinkProtocol } from '../kernel/netlink/constants.js';
import { NetlinkChannel } from '../kernel/netlink/NetlinkChannel.js';
import { Nfacct } from '../kernel/nfacct/Nfacct.js';
import { readGeneration } from '../kernel/nftables/readGeneration.js';

export type IptablesKernel = Pick<IptablesHost, 'createCounters' | 'rulesetGeneration' | 'close'>;

/** Throws PENSTOCK_NATIVE_MISSING when the addon was not built. */
export function iptablesKernel(log: Logger): IptablesKernel {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
  const nfacct = new Nfacct(channel);
  return {
    createCounters: async (names) => {
      try {
        for (const name of names) await nfacct.create(name);
        return true;
      } catch (error) {
        log.info(`packet counters of rules are left out: ${messageOf(error)}`);
        return false;
      }
    },
    rulesetGeneration: () => readGeneration(channel),
    close: async () => channel.close(),
  };
}
