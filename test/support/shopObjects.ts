/** Small objects for tests with an agent. */
export interface ShopService {
  readonly name: string;
  readonly clusterIP: string;
  readonly endpoints: readonly string[];
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: object;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly protocol?: 'TCP' | 'UDP';
}

/** The slice of one family of a Service of the shop, as in a manifest. */
export function shopSlice(
  service: string,
  family: 'IPv4' | 'IPv6',
  endpoints: readonly object[],
  ports: readonly object[] = [{ port: 8080 }],
) {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service}-${family.toLowerCase()}`,
      namespace: 'shop',
      labels: { 'kubernetes.io/service-name': service },
    },
    addressType: family,
    ports,
    endpoints,
  };
}

/** A Service on port 80 and its slice on port 8080. */
export function shopObjects({
  name,
  clusterIP,
  endpoints,
  spec = {},
  status = {},
  annotations,
  protocol = 'TCP',
}: ShopService): object[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'shop', ...(annotations ? { annotations } : {}) },
      spec: {
        clusterIP,
        ports: [{ name: 'http', port: 80, protocol, ...(spec.port as object) }],
        ...spec,
        port: undefined,
      },
      status,
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-a`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol }],
      endpoints: endpoints.map((address) => ({ addresses: [address], nodeName: 'node1' })),
    },
  ];
}
