/**
 * What the health-check node ports must answer: for each Service with one, how many addresses on this node serve it.
 * External load balancers use it to send traffic only to nodes that can serve (externalTrafficPolicy Local).
 */
import type { ServicePort } from './ServicePort.js';

export interface HealthCheck {
  readonly namespace: string;
  readonly service: string;
  /** The healthCheckNodePort, 1..65535. */
  readonly port: number;
  /** Distinct addresses of local ready endpoints over all ports of the Service. */
  readonly localEndpoints: number;
}

/** By `namespace/name` of the Service. */
export function healthChecks(servicePorts: Iterable<ServicePort>): Map<string, HealthCheck> {
  const addresses = new Map<string, Set<string>>();
  const checks = new Map<string, HealthCheck>();
  for (const { namespace, service, healthCheckNodePort, endpoints } of servicePorts) {
    if (healthCheckNodePort === 0) continue;
    const key = `${namespace}/${service}`;
    const known = addresses.get(key) ?? new Set();
    addresses.set(key, known);
    for (const endpoint of endpoints.all) if (endpoint.local && endpoint.ready) known.add(endpoint.address);
    checks.set(key, { namespace, service, port: healthCheckNodePort, localEndpoints: known.size });
  }
  return checks;
}
