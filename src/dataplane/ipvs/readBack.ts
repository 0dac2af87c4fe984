/** The virtual servers of a few service ports, and whether they have anybody to send connections to. */
import type { Ipvs } from '../../kernel/ipvs/Ipvs.js';
import { virtualServerKey } from '../../kernel/ipvs/VirtualServer.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { ReadBack } from '../ReadBack.js';

/** Rejects with NetlinkError. */
export async function readBack(
  ipvs: Pick<Ipvs, 'getService' | 'listDestinations'>,
  ports: readonly ServicePort[],
): Promise<ReadBack> {
  let asked = 0;
  for (const { family, protocol, clusterIP, port, name } of ports) {
    if (clusterIP === undefined) continue;
    const id = { family, protocol, address: clusterIP, port };
    const server = `virtual server ${virtualServerKey(id)} of ${name}`;
    asked++;
    if (!(await ipvs.getService(id))) return { asked, wrong: `${server} is missing` };
    if ((await ipvs.listDestinations(id)).length === 0)
      return { asked, wrong: `${server} has no real servers` };
  }
  return { asked, wrong: '' };
}
