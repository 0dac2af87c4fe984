/** What mode userspace makes beside its table: routes. */
import { hostFamilies } from '../../kernel/host/hostFamilies.js';
import { type DivertOptions, DivertRoutes } from '../../kernel/routes/DivertRoutes.js';
import { LocalRanges } from '../../kernel/routes/LocalRanges.js';
import { type Cidr, IP_FAMILIES, type IpFamily } from '../../net/ip.js';

/** Bit 13, below those of kube-proxy (14, 15); table and priority are arbitrary, and removed by `penstock cleanup`. */
export const DIVERT: DivertOptions = { mark: 0x2000, table: 20_713, priority: 99 };

/** Removes the routes for connections that bear addresses of clients. The families that had any. Rejects with NetlinkError. */
export async function removeDivertRoutes(): Promise<IpFamily[]> {
  const routes = new DivertRoutes(DIVERT);
  const removed: IpFamily[] = [];
  for (const family of IP_FAMILIES) if (await routes.remove(family)) removed.push(family);
  return removed;
}

/** Removes the routes that make ranges of cluster IPs local. Those that there were. Rejects with NetlinkError. */
export async function removeLocalRanges(): Promise<Cidr[]> {
  const routes = new LocalRanges();
  const removed: Cidr[] = [];
  for (const cidr of await localRangesLeft()) if (await routes.remove(cidr)) removed.push(cidr);
  return removed;
}

/** Ranges of cluster IPs that routes of ours make local. Rejects with NetlinkError. */
export async function localRangesLeft(): Promise<readonly Cidr[]> {
  const routes = new LocalRanges();
  return (await Promise.all(hostFamilies().map((family) => routes.list(family)))).flat();
}
