/** The part of a v1 Node that penstock uses. */
import type { Cidr, IpAddress } from '../net/ip.js';

/** A node with it gets nothing from load balancers; presence is what counts (Kubernetes, well-known labels). */
export const EXCLUDE_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';

export interface Node {
  readonly kind: 'Node';
  readonly name: string;
  /** metadata.uid */
  readonly uid?: string;
  /** Label topology.kubernetes.io/zone, '' when absent. */
  readonly zone: string;
  /** status.addresses: every InternalIP first, then every ExternalIP, in list order. */
  readonly addresses: readonly IpAddress[];
  /** spec.podCIDRs */
  readonly podCIDRs: readonly Cidr[];
  readonly labels?: Readonly<Record<string, string>>;
  /** The condition NetworkUnavailable is true; absent: it is not. */
  readonly networkUnavailable?: true;
  /** The condition Ready is there and not true: its kubelet has trouble, or is not heard. */
  readonly notReady?: true;
  /** False when the node is being deleted or carries the taint ToBeDeletedByClusterAutoscaler. */
  readonly eligible: boolean;
  /** Label penstock.io/leave is "true": penstock is to hand this node back to another proxy. */
  readonly leave: boolean;
}
