/** Whether the kernel has what an agent says that its rules come to. Modes nftables and userspace; reads, and writes nothing. */
import type { RuleDigest, RuleFacts } from '../../dataplane/Dataplane.js';
import { type NftablesOptions, nftablesSettings } from '../../dataplane/nftables/desired/NftablesSettings.js';
import { readPresentDigest, isAsWanted as tableIsAsWanted } from '../../dataplane/nftables/isAsWanted.js';
import { TABLE } from '../../dataplane/nftables/NftablesDataplane.js';
import type { DigestOfTable } from '../../dataplane/nftables/plan/WantedDigest.js';
import { CAPTURE_TABLE } from '../../dataplane/userspace/UserspaceDataplane.js';
import { hostFamilies } from '../../kernel/host/hostFamilies.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { HostAddressWatch } from '../../kernel/routes/HostAddressWatch.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { hostFactsOf } from './hostFactsOf.js';

/** Tables of 50,000 Services come in many datagrams at once. */
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;

export interface Said {
  /** Without service ports. */
  readonly view: RoutingView;
  /** Null: the mode cannot say. */
  readonly digest: RuleDigest | null;
}

/** `wanted` may come while the kernel is read. False also where only a look at every element can tell. Rejects with NetlinkError, or as `wanted`. */
export async function isAsWanted(
  mode: 'nftables' | 'userspace',
  facts: RuleFacts,
  wanted: Promise<Said | undefined>,
): Promise<boolean> {
  const name = mode === 'userspace' ? CAPTURE_TABLE : TABLE;
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
    receiveBufferBytes: RECEIVE_BUFFER_BYTES,
  });
  const watch = await HostAddressWatch.open();
  try {
    const read = async () => {
      const tables = hostFamilies().map((family) => new NftablesTable(channel, family, name));
      const found = [];
      for (const table of tables)
        found.push({ family: table.family, present: await readPresentDigest(table) });
      return found;
    };
    const [answer, found] = await Promise.all([wanted, read()]);
    if (!answer?.digest) return false;
    const { view, digest } = answer;
    const options = digest.options as NftablesOptions;
    return found.every(({ family, present }) => {
      const said = digest.families[family] as DigestOfTable | undefined;
      if (present === undefined || said === undefined) return false;
      const host = hostFactsOf(facts, family, watch.addresses);
      const settings = nftablesSettings({ ...options, logGroup: facts.logGroup }, family, view, host);
      return tableIsAsWanted(said, settings, present);
    });
  } finally {
    watch.close();
    channel.close();
  }
}
