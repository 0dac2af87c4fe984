/**
 * Whether rules of this kernel can hand first packets to a program: asked by `penstock doctor` only, as an agent asks when a Service
 * does.
 */
import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { type FeatureResult, type KernelFeature, PROBE_TABLE } from '../../kernel/nftables/features.js';
import { QUEUE_WAYS, queueTo } from '../../kernel/nftables/queueing.js';
import { Transaction } from '../../kernel/nftables/Transaction.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import type { IpFamily } from '../../net/ip.js';

/** Any: nothing is bound to it. */
const QUEUE_NUMBER = 0;

export const QUEUES: KernelFeature = {
  name: 'queues of first packets',
  neededFor: 'penstock.io/wake, penstock.io/algorithm: least-connections, power-of-two',
  kernelOption: 'CONFIG_NFT_QUEUE or CONFIG_NETFILTER_XT_TARGET_NFQUEUE with CONFIG_NFT_COMPAT',
};

/** One way is enough. Rejects with NetlinkError when the kernel cannot be asked. */
export async function probeQueue(
  channel: NetlinkChannel,
  families: readonly IpFamily[],
): Promise<readonly FeatureResult[]> {
  const results: FeatureResult[] = [];
  for (const family of families) {
    const table = new NftablesTable(channel, family, PROBE_TABLE);
    let error: Error | undefined;
    for (const by of QUEUE_WAYS) {
      const probe = new Transaction(family, PROBE_TABLE);
      probe.createTable = true;
      const hook = { type: 'filter', hook: 'prerouting', priority: -110 } as const;
      probe.addChain({ name: 'probe', hook, rules: [[queueTo(QUEUE_NUMBER, by)]] });
      error = await table.check(probe);
      if (error === undefined) break;
    }
    results.push({ feature: QUEUES, family, error });
  }
  return results;
}
