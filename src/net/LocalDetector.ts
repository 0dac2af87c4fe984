/** How packets of pods of this node are told from others. */
import type { Cidr, IpFamily } from './ip.js';

export type LocalDetector =
  | { readonly type: 'ClusterCIDR'; readonly cidrs: Readonly<Partial<Record<IpFamily, Cidr>>> }
  /** The podCIDRs of the Node object. */
  | { readonly type: 'NodeCIDR' }
  | { readonly type: 'BridgeInterface'; readonly name: string }
  | { readonly type: 'InterfaceNamePrefix'; readonly prefix: string }
  /** ClusterCIDR without a range: they are not told apart. */
  | { readonly type: 'None' };
