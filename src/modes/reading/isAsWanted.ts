/** Whether the kernel has what an agent says that its rules come to. Modes nftables and userspace; reads, and writes nothing. */
import type { RuleDigest, RuleFacts, SetsByFamily, WantedKeysOfSet } from '../../dataplane/Dataplane.js';
import { type NftablesOptions, nftablesSettings } from '../../dataplane/nftables/desired/NftablesSettings.js';
import { TABLE } from '../../dataplane/nftables/desired/sets.js';
import { isAsWanted as tableIsAsWanted } from '../../dataplane/nftables/isAsWanted.js';
import type { DigestOfTable } from '../../dataplane/nftables/plan/WantedDigest.js';
import { TableDigest } from '../../dataplane/nftables/TableDigest.js';
import { CAPTURE_TABLE } from '../../dataplane/userspace/CaptureView.js';
import { hostFamilies } from '../../kernel/host/hostFamilies.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { HostAddressWatch } from '../../kernel/routes/HostAddressWatch.js';
import type { IpFamily } from '../../net/ip.js';
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

/** Asks an agent; it gives the keys of `keysOf` while it works the rest out. */
export type AskAgent = (
  keysOf: SetsByFamily,
  takeKeys: (keys: WantedKeysOfSet) => void,
) => Promise<Said | undefined>;

/** The kernel is read while the agent answers. False also where only a look at every element can tell. Rejects with NetlinkError, or as `ask`. */
export async function isAsWanted(
  mode: 'nftables' | 'userspace',
  facts: RuleFacts,
  ask: AskAgent,
): Promise<boolean> {
  const name = mode === 'userspace' ? CAPTURE_TABLE : TABLE;
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
    receiveBufferBytes: RECEIVE_BUFFER_BYTES,
  });
  const watch = await HostAddressWatch.open();
  try {
    const tables: { family: IpFamily; digest: TableDigest }[] = [];
    for (const family of hostFamilies()) {
      const digest = await TableDigest.begin(new NftablesTable(channel, family, name));
      if (digest === undefined) return false;
      tables.push({ family, digest });
    }
    const keysOf = Object.fromEntries(tables.map(({ family, digest }) => [family, digest.largeSets]));
    const said = ask(keysOf, (keys) =>
      tables.find(({ family }) => family === keys.family)?.digest.takeKeys(keys),
    );
    // It may fail before anybody waits for it.
    said.catch(() => {});
    for (const { digest } of tables) await digest.readOthers();
    const answer = await said;
    if (!answer?.digest) return false;
    const { view, digest } = answer;
    const options = digest.options as NftablesOptions;
    for (const { family, digest: table } of tables) {
      const wanted = digest.families[family] as DigestOfTable | undefined;
      const present = await table.end();
      if (present === undefined || wanted === undefined) return false;
      const host = hostFactsOf(facts, family, watch.addresses);
      const settings = nftablesSettings({ ...options, logGroup: facts.logGroup }, family, view, host);
      if (!tableIsAsWanted(wanted, settings, present)) return false;
    }
    return true;
  } finally {
    watch.close();
    channel.close();
  }
}
