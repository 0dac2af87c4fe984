/** A few service ports read back from the kernel, in whichever mode. Reads, and writes nothing. */
import type { RuleFacts } from '../../dataplane/Dataplane.js';
import type { ReadBack } from '../../dataplane/ReadBack.js';
import { messageOf } from '../../errors.js';
import { hostFamilies } from '../../kernel/host/hostFamilies.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
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

/** What a mode needs is loaded when it is asked: to load all of them takes longer than to ask. */
async function ofFamily(
  mode: string,
  family: IpFamily,
  ports: readonly ServicePort[],
  facts: RuleFacts,
): Promise<ReadBack | undefined> {
  if (mode === 'iptables')
    return (await import('../../dataplane/iptables/readBack.js')).readBack(family, ports);
  const isIpvs = mode === 'ipvs';
  const channel = NetlinkChannel.open(isIpvs ? NetlinkProtocol.GENERIC : NetlinkProtocol.NETFILTER);
  try {
    if (isIpvs) return await ofIpvs(channel, ports);
    const { readBack } = await import('../../dataplane/nftables/readBack.js');
    const { NftablesTable } = await import('../../kernel/nftables/table/NftablesTable.js');
    if (mode !== 'userspace') {
      const { TABLE } = await import('../../dataplane/nftables/desired/sets.js');
      return await readBack(new NftablesTable(channel, family, TABLE), ports);
    }
    const engine = facts.families[family]?.engine;
    if (engine === undefined) return undefined;
    const { CAPTURE_TABLE, CaptureView } = await import('../../dataplane/userspace/CaptureView.js');
    const capture = new CaptureView(engine);
    capture.apply(asNew(ports));
    const table = new NftablesTable(channel, family, CAPTURE_TABLE);
    return await readBack(table, [...capture.servicePorts.values()]);
  } finally {
    channel.close();
  }
}

async function ofIpvs(channel: NetlinkChannel, ports: readonly ServicePort[]): Promise<ReadBack> {
  const { Ipvs } = await import('../../kernel/ipvs/Ipvs.js');
  const { readBack } = await import('../../dataplane/ipvs/readBack.js');
  return readBack(await Ipvs.open(channel), ports);
}
