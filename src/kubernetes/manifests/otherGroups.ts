/** Whether an object is none of the routing table's, and goes to `others` as it is. */
export type IsOther = (apiVersion: unknown, kind: unknown) => boolean;

/** Groups of the load balancer's objects, which manifests may hold beside Services. */
const GROUPS = ['penstock.io/', 'metallb.io/'] as const;

export const isOtherGroup: IsOther = (apiVersion) =>
  typeof apiVersion === 'string' && GROUPS.some((group) => apiVersion.startsWith(group));
