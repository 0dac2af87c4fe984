/**
 * Without a cluster nobody writes the status of a Service, so the load-balancer addresses that a manifest asks for are those that it
 * has: our annotation, MetalLB's, or spec.loadBalancerIP.
 */
import { IP_FAMILIES } from '../../net/ip.js';
import { readServiceIp } from '../addresses.js';
import type { AddressRequest, Service } from '../Service.js';
import type { FieldReader } from './FieldReader.js';
import type { Metadata } from './readMetadata.js';

export const ADDRESS_ANNOTATIONS = [
  'penstock.io/load-balancer-ips',
  'metallb.io/loadBalancerIPs',
  'metallb.universe.tf/loadBalancerIPs',
] as const;

export const POOL_ANNOTATIONS = [
  'penstock.io/address-pool',
  'metallb.io/address-pool',
  'metallb.universe.tf/address-pool',
] as const;

export const SHARING_ANNOTATIONS = [
  'penstock.io/allow-shared-ip',
  'metallb.io/allow-shared-ip',
  'metallb.universe.tf/allow-shared-ip',
] as const;

/** Of Services that name their load balancer: spec.loadBalancerClass. */
export const LOAD_BALANCER_CLASS = 'penstock.io/load-balancer';

/** More is no honest Service. */
const MOST_ADDRESSES = 16;

export function withRequestedAddresses(service: Service, root: FieldReader, metadata: Metadata): Service {
  const status = root.object('status').object('loadBalancer');
  if (service.type !== 'LoadBalancer' || !status.isEmpty('ingress')) return service;
  const annotation = ADDRESS_ANNOTATIONS.find((key) => metadata.annotations.has(key));
  const spec = root.object('spec');
  const [reader, field] =
    annotation === undefined
      ? ([spec, 'loadBalancerIP'] as const)
      : ([metadata.annotations, annotation] as const);
  const ingress: Service['loadBalancerIngress'][number][] = [];
  for (const text of reader.text(field).split(',', MOST_ADDRESSES)) {
    if (text.trim() === '') continue;
    const read = readServiceIp(text.trim(), root.findings.reservedAddresses);
    if ('ip' in read) ingress.push({ ip: read.ip, ipMode: 'VIP' });
    else reader.warn(field, text.trim(), `which is ${read.bad}; it is skipped`);
  }
  if (ingress.length > 0) return { ...service, loadBalancerIngress: ingress };
  // An address that was meant and cannot be read is no wish for any other.
  const meant = annotation !== undefined || !spec.isEmpty(field);
  const isOurs = ['', LOAD_BALANCER_CLASS].includes(spec.text('loadBalancerClass'));
  return meant || !isOurs ? service : { ...service, addressRequest: readRequest(service, spec, metadata) };
}

function readRequest(
  { clusterIPs, ipFamilies }: Service,
  spec: FieldReader,
  { annotations }: Metadata,
): AddressRequest {
  const first = (keys: readonly string[]) => {
    const key = keys.find((each) => annotations.has(each));
    return key === undefined ? '' : annotations.text(key).trim();
  };
  const needsAllFamilies = spec.text('ipFamilyPolicy') === 'RequireDualStack';
  const given = ipFamilies ?? IP_FAMILIES.filter((family) => clusterIPs[family] !== undefined);
  return {
    pool: first(POOL_ANNOTATIONS),
    sharingKey: first(SHARING_ANNOTATIONS),
    families: given.length > 0 ? given : needsAllFamilies ? IP_FAMILIES : ['IPv4'],
    needsAllFamilies,
  };
}
