/** The part of a networking.k8s.io/v1 ServiceCIDR (KEP-1880) that penstock uses. */
import type { Cidr } from '../net/ip.js';

export interface ServiceCIDR {
  readonly kind: 'ServiceCIDR';
  readonly name: string;
  /** spec.cidrs: cluster IPs are taken from these. One, or one of each family. */
  readonly cidrs: readonly Cidr[];
}
