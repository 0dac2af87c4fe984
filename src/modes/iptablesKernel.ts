/** What mode iptables asks the kernel over netlink: packet counters, and whether anybody changed the rules. */
import type { Logger } from 'pino';
import type { IptablesHost, RulesetWatch } from '../dataplane/iptables/IptablesDataplane.js';
import { messageOf } from '../errors.js';
import { NetlinkProtocol } from '../kernel/netlink/constants.js';
import { NetlinkChannel } from '../kernel/netlink/NetlinkChannel.js';
import { Nfacct } from '../kernel/nfacct/Nfacct.js';
import { readGeneration } from '../kernel/nftables/readGeneration.js';
import { readLegacyState } from '../kernel/xtables/readLegacyState.js';
import type { XtablesTool } from '../kernel/xtables/XtablesTool.js';

export type IptablesKernel = Pick<IptablesHost, 'createCounters' | 'readCounters' | 'watch' | 'close'>;

/**
 * `ownTransactions`: others of penstock beside the mode's own, in nf_tables. Throws PENSTOCK_NATIVE_MISSING when the addon was not
 * built.
 */
export function iptablesKernel(
  tools: readonly XtablesTool[],
  log: Logger,
  ownTransactions: () => number = () => 0,
): IptablesKernel {
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
    readCounters: async () => {
      const counters = await nfacct.list();
      return new Map([...counters].map(([name, { packets }]) => [name, packets]));
    },
    watch: tools[0]?.version.backend === 'legacy' ? watchLegacy(tools) : watchNft(channel, ownTransactions),
    close: async () => channel.close(),
  };
}

/** Every transaction of anybody moves the generation by one. */
function watchNft(channel: NetlinkChannel, ownTransactions: () => number): RulesetWatch {
  return {
    state: async () => {
      const generation = await readGeneration(channel);
      return generation === undefined ? undefined : `${generation - ownTransactions()}`;
    },
    isOurs: (before, after, transactions) => Number(after) === Number(before) + transactions,
  };
}

/** Tables have no generation: what another changed while we wrote shows only when the rules are counted. */
function watchLegacy(tools: readonly XtablesTool[]): RulesetWatch {
  return {
    state: async () => tools.map((tool) => readLegacyState(tool.family)).join(' '),
    isOurs: () => true,
  };
}
