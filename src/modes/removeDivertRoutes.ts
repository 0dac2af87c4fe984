/** Removes the routes of mode userspace for connections that bear addresses of clients. */
import { DivertRoutes } from '../kernel/routes/DivertRoutes.js';
import { IP_FAMILIES, type IpFamily } from '../net/ip.js';
import { DIVERT } from './userspaceMode.js';

/** The families that had any. Rejects with NetlinkError. */
export async function removeDivertRoutes(): Promise<IpFamily[]> {
  const routes = new DivertRoutes(DIVERT);
  const removed: IpFamily[] = [];
  for (const family of IP_FAMILIES) if (await routes.remove(family)) removed.push(family);
  return removed;
}
