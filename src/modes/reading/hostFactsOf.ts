/** What the rules of nf_tables depend on besides objects and configuration, from what an agent says of itself. */
import type { RuleFacts } from '../../dataplane/Dataplane.js';
import type { HostFacts } from '../../dataplane/nftables/desired/NftablesSettings.js';
import type { IpAddress, IpFamily } from '../../net/ip.js';

export function hostFactsOf(
  { families }: RuleFacts,
  family: IpFamily,
  addresses: readonly IpAddress[],
): HostFacts {
  const { localhostPorts = {}, divertMark = 0, engine } = families[family] ?? {};
  return { addresses, localhostPorts, divertMark, untranslated: engine?.untranslated ?? [] };
}
