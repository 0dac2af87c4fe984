/** Groups of the load balancer's objects, which manifests may hold beside Services. */
const GROUPS = ['penstock.io/', 'metallb.io/'] as const;

export function isOtherGroup(apiVersion: unknown): boolean {
  return typeof apiVersion === 'string' && GROUPS.some((group) => apiVersion.startsWith(group));
}
