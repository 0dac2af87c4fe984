/** Services and slices of any namespace, as an API server has them. */

/** On port 80 of one address, unless `spec` says otherwise. */
export function rawService(namespace: string, name: string, clusterIP: string, spec: object = {}): object {
  const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
  const metadata = { name, namespace };
  return { kind: 'Service', apiVersion: 'v1', metadata, spec: { clusterIP, ports, ...spec }, status: {} };
}

/** Endpoints that are ready, on port 8080. */
export function rawSlice(
  namespace: string,
  service: string,
  addresses: readonly string[],
  ports: readonly object[] = [{ name: 'http', port: 8080, protocol: 'TCP' }],
): object {
  return {
    kind: 'EndpointSlice',
    apiVersion: 'discovery.k8s.io/v1',
    metadata: { name: `${service}-a`, namespace, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports,
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: {} })),
  };
}
