/** What routing must know about this node. */
import type { IpAddress, IpFamily } from '../net/ip.js';

export interface NodeFacts {
  /** Compared with the nodeName of endpoints. '' makes no endpoint local. */
  readonly name: string;
  /** topology.kubernetes.io/zone; '' matches no hint. */
  readonly zone: string;
  /** This node's address of each family, if it has one. */
  readonly addresses: Readonly<Partial<Record<IpFamily, IpAddress>>>;
}
