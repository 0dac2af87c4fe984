/** The part of a v1 Node that penstock uses. */
import type { Cidr, IpAddress } from '../net/ip.js';

export interface Node {
  readonly kind: 'Node';
  readonly name: string;
  /** Label topology.kubernetes.io/zone, '' when absent. */
  readonly zone: string;
  /** status.addresses: every InternalIP first, then every ExternalIP, in list order. */
  readonly addresses: readonly IpAddress[];
  /** spec.podCIDRs */
  readonly podCIDRs: readonly Cidr[];
  readonly labels?: Readonly<Record<string, string>>;
  /** The condition NetworkUnavailable is true; absent: it is not. */
  readonly networkUnavailable?: true;
  /** False when the node is being deleted or carries the taint ToBeDeletedByClusterAutoscaler. */
  readonly eligible: boolean;
  /** Label penstock.io/leave is "true": penstock is to hand this node back to another proxy. */
  readonly leave: boolean;
}
