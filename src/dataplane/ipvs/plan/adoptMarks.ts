/** Service ports keep the marks that they have in the kernel, so that a restart moves no connection. */
import type { ServicePort } from '../../../routing/ServicePort.js';
import { numberOf } from '../desired/clusterClientMark.js';
import type { IpvsSettings } from '../desired/IpvsSettings.js';
import { MarkNumbers } from '../desired/MarkNumbers.js';
import { placeElement } from '../desired/SetEntry.js';
import { needsMark } from '../desired/servicePortState.js';
import type { Present } from './Present.js';

export function adoptMarks(
  ports: readonly ServicePort[],
  { masqueradeMark, nodePortIPs }: IpvsSettings,
  present: Present,
): MarkNumbers {
  const numbers = new MarkNumbers();
  const known = present.sets.get('PENSTOCK-CLUSTER-CLIENTS');
  if (!known || known.size === 0) return numbers;
  for (const port of ports) {
    if (!needsMark(port)) continue;
    const { protocol, externalIPs, loadBalancerIPs, nodePort } = port;
    const vips = [...externalIPs, ...loadBalancerIPs].map((ip) => placeElement(ip, protocol, port.port));
    const nodePorts = nodePort === 0 ? [] : nodePortIPs.map((ip) => placeElement(ip, protocol, nodePort));
    const mark = [...vips, ...nodePorts].map((element) => known.get(element)).find((m) => m !== undefined);
    const number = mark === undefined ? undefined : numberOf(mark, masqueradeMark);
    if (number !== undefined) numbers.adopt(port.key, number);
  }
  return numbers;
}
