/** Whether a Service has anything in an IP family that it can be reached at. */
import { familyOf, type IpFamily } from '../net/ip.js';
import type { Service } from './Service.js';

/**
 * A Service with a cluster IP lives in the families of its cluster IPs, as for kube-proxy. One without any, which only
 * manifests have, lives where it has another address; node ports are in both families unless spec.ipFamilies names one.
 */
export function isAddressed(service: Service, family: IpFamily): boolean {
  if (service.clusterIPs[family] !== undefined) return true;
  if (service.clusterIPs.IPv4 !== undefined || service.clusterIPs.IPv6 !== undefined) return false;
  if (service.ipFamilies !== undefined && !service.ipFamilies.includes(family)) return false;
  return (
    service.externalIPs.some((ip) => familyOf(ip) === family) ||
    service.loadBalancerIngress.some(({ ip, ipMode }) => ipMode === 'VIP' && familyOf(ip) === family) ||
    service.ports.some(({ nodePort }) => nodePort !== 0)
  );
}
