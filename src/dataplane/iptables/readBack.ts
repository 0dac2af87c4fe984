/** The chains of a few service ports, asked of nf_tables: iptables-save would list those of all. */
import { legacyTables } from '../../kernel/xtables/legacyTables.js';
import { nftChainExists } from '../../kernel/xtables/nftChains.js';
import type { IpFamily } from '../../net/ip.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { ReadBack } from '../ReadBack.js';
import { hash16, SERVICES } from './rules/chains.js';

const TABLE = 'nat';
const HOST = { nftChainExists, legacyTables };

/** Undefined where the rules are of iptables-legacy, which tells of all or of none. */
export async function readBack(
  family: IpFamily,
  ports: readonly ServicePort[],
  host: typeof HOST = HOST,
): Promise<ReadBack | undefined> {
  const isThere = (chain: string) => host.nftChainExists(family, TABLE, chain);
  if (!(await isThere(SERVICES))) {
    if ((await host.legacyTables(family)).includes(TABLE)) return undefined;
    return { asked: 1, wrong: `chain ${SERVICES} (table ${TABLE}, ${family}) is missing` };
  }
  let asked = 1;
  for (const { name, protocol, internalPolicy } of ports) {
    const prefix = internalPolicy === 'Local' ? 'KUBE-SVL-' : 'KUBE-SVC-';
    const chain = prefix + hash16(`${name}${protocol.toLowerCase()}`);
    asked++;
    if (!(await isThere(chain))) return { asked, wrong: `chain ${chain} of ${name} is missing` };
  }
  return { asked, wrong: '' };
}
