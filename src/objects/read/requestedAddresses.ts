/**
 * Without a cluster nobody writes the status of a Service, so the load-balancer addresses that a manifest asks for are those that it
 * has: our annotation, MetalLB's, or spec.loadBalancerIP.
 */
import { readServiceIp } from '../addresses.js';
import type { Service } from '../Service.js';
import type { FieldReader } from './FieldReader.js';
import type { Metadata } from './readMetadata.js';

export const ADDRESS_ANNOTATIONS = [
  'penstock.io/load-balancer-ips',
  'metallb.io/loadBalancerIPs',
  'metallb.universe.tf/loadBalancerIPs',
] as const;

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
  if (ingress.length === 0) return service;
  return { ...service, loadBalancerIngress: ingress };
}
