/** How rules of iptables tell traffic of this cluster's pods from other traffic. */
import { type Cidr, familyOf, type IpFamily } from '../../net/ip.js';
import type { LocalDetector } from '../../net/LocalDetector.js';

/** Two matches, one the opposite of the other. */
export interface LocalTrafficMatch {
  readonly isLocal: string;
  readonly isNotLocal: string;
}

/** `podCIDRs`: of this node. Undefined: pods cannot be told from others. */
export function matchLocalTraffic(
  detector: LocalDetector,
  family: IpFamily,
  podCIDRs: readonly Cidr[],
): LocalTrafficMatch | undefined {
  switch (detector.type) {
    case 'ClusterCIDR':
      return fromSource(detector.cidrs[family]);
    case 'NodeCIDR':
      return fromSource(podCIDRs.find((cidr) => familyOf(cidr) === family));
    case 'BridgeInterface':
      return fromInterface(detector.name);
    case 'InterfaceNamePrefix':
      return fromInterface(`${detector.prefix}+`);
    case 'None':
      return undefined;
  }
}

function fromSource(cidr: Cidr | undefined): LocalTrafficMatch | undefined {
  return cidr === undefined ? undefined : { isLocal: `-s ${cidr}`, isNotLocal: `! -s ${cidr}` };
}

/** iptables reads a trailing `+` as "any interface that begins so". */
function fromInterface(name: string): LocalTrafficMatch {
  return { isLocal: `-i ${name}`, isNotLocal: `! -i ${name}` };
}
