/** A few service ports read back from the kernel, in whichever mode. Reads, and writes nothing. */
import type { RuleFacts } from '../../dataplane/Dataplane.js';
import { readBack as iptablesReadBack } from '../../dataplane/iptables/readBack.js';
import { readBack as ipvsReadBack } from '../../dataplane/ipvs/readBack.js';
import { TABLE } from '../../dataplane/nftables/desired/sets.js';
import { readBack as nftablesReadBack } from '../../dataplane/nftables/readBack.js';
import type { ReadBack } from '../../dataplane/ReadBack.js';
import { CAPTURE_TABLE, CaptureView } from '../../dataplane/userspace/CaptureView.js';
import { messageOf } from '../../errors.js';
import { hostFamilies } from '../../kernel/host/hostFamilies.js';
import { Ipvs } from '../../kernel/ipvs/Ipvs.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import type { IpFamily } from '../../net/ip.js';
import { asNew } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';

/**
 * Undefined when the mode's rules cannot be asked for by name, or there is nothing to ask for. Never rejects: a failure is what is wrong.
 */
export async function readBack(
  mode: string,
  ports: readonly ServicePort[],
  facts: RuleFacts,
): Promise<ReadBack | undefined> {
  let asked = 0;
  for (const family of hostFamilies()) {
    const own = ports.filter((port) => port.family === family);
    if (own.length === 0) continue;
    try {
      const found = await ofFamily(mode, family, own, facts);
      if (found === undefined) return undefined;
      asked += found.asked;
      if (found.wrong !== '') return { asked, wrong: found.wrong };
    } catch (error) {
      return { asked, wrong: `cannot be asked: ${messageOf(error)}` };
    }
  }
  return asked === 0 ? undefined : { asked, wrong: '' };
}

async function ofFamily(
  mode: string,
  family: IpFamily,
  ports: readonly ServicePort[],
  facts: RuleFacts,
): Promise<ReadBack | undefined> {
  if (mode === 'iptables') return iptablesReadBack(family, ports);
  const isIpvs = mode === 'ipvs';
  const channel = NetlinkChannel.open(isIpvs ? NetlinkProtocol.GENERIC : NetlinkProtocol.NETFILTER);
  try {
    if (isIpvs) return await ipvsReadBack(await Ipvs.open(channel), ports);
    if (mode !== 'userspace') return await nftablesReadBack(new NftablesTable(channel, family, TABLE), ports);
    const engine = facts.families[family]?.engine;
    if (engine === undefined) return undefined;
    const capture = new CaptureView(engine);
    capture.apply(asNew(ports));
    const table = new NftablesTable(channel, family, CAPTURE_TABLE);
    return await nftablesReadBack(table, [...capture.servicePorts.values()]);
  } finally {
    channel.close();
  }
}
