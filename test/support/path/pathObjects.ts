/** Services, slices and Ingress objects of the way of outside traffic, as a cluster would have them. */
export const EDGE_VIP = '192.0.2.100';
export const API_VIP = '192.0.2.101';
export const EDGE_NODE_PORT = 30080;
export const CLUSTER_IPS = {
  edge: '10.96.0.5',
  app: '10.96.0.10',
  'app-v2': '10.96.0.11',
  api: '10.96.0.20',
};

/** Name, number of its node, address. */
export const PATH_PODS = {
  edge1: [2, '10.244.2.10'],
  edge2: [3, '10.244.3.10'],
  pod1: [2, '10.244.2.11'],
  pod2: [3, '10.244.3.11'],
  pod3: [3, '10.244.3.12'],
  pod4: [2, '10.244.2.12'],
  pod5: [3, '10.244.3.13'],
  api: [3, '10.244.3.20'],
} as const;

export type PodName = keyof typeof PATH_PODS;

export interface PathSituation {
  readonly apps?: readonly PodName[];
  readonly edges?: readonly PodName[];
  /** Still serve what they have, and nobody new: pods that are told to end. */
  readonly terminating?: readonly PodName[];
  readonly edgePolicy?: 'Local' | 'Cluster';
  readonly edgeAnnotations?: Readonly<Record<string, string>>;
  readonly appAnnotations?: Readonly<Record<string, string>>;
}

const META = { namespace: 'shop' };

export function pathObjects(situation: PathSituation): readonly object[] {
  const { apps = ['pod1', 'pod2'], edges = ['edge1', 'edge2'], terminating = [] } = situation;
  const { edgePolicy = 'Local', edgeAnnotations = {}, appAnnotations = {} } = situation;
  const slice = (service: string, ports: Readonly<Record<string, number>>, pods: readonly PodName[]) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...META, name: `${service}-1`, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports: Object.entries(ports).map(([name, port]) => ({ name, port })),
    endpoints: pods.map((pod) => {
      const [node, address] = PATH_PODS[pod];
      const ends = terminating.includes(pod);
      const conditions = { ready: !ends, serving: true, terminating: ends };
      return { addresses: [address], nodeName: `node${node}`, conditions };
    }),
  });
  const service = (name: keyof typeof CLUSTER_IPS, spec: object, annotations: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...META, name, annotations },
    spec: { clusterIP: CLUSTER_IPS[name], ports: [{ name: 'http', port: 80 }], ...spec },
  });
  const announced = (address: string) => ({
    'penstock.io/load-balancer-ips': address,
    'penstock.io/announce-from': 'node1',
  });
  const metallb = (kind: string, spec: object = {}) => ({
    apiVersion: 'metallb.io/v1beta1',
    kind,
    metadata: { name: 'lan', namespace: 'metallb-system' },
    spec,
  });
  return [
    metallb('IPAddressPool', { addresses: ['192.0.2.96/28'] }),
    metallb('L2Advertisement'),
    service(
      'edge',
      {
        type: 'LoadBalancer',
        externalTrafficPolicy: edgePolicy,
        ports: [
          { name: 'http', port: 80, nodePort: EDGE_NODE_PORT },
          { name: 'https', port: 443, nodePort: 30443 },
        ],
      },
      { ...announced(EDGE_VIP), ...edgeAnnotations },
    ),
    service('app', {}, appAnnotations),
    service('app-v2', {}),
    service('api', { type: 'LoadBalancer', externalTrafficPolicy: 'Local' }, announced(API_VIP)),
    slice('edge', { http: 80, https: 443 }, edges),
    slice('app', { http: 8080 }, apps),
    slice('app-v2', { http: 8080 }, ['pod3']),
    slice('api', { http: 80 }, ['api']),
  ];
}

/** Of examples/path/manifests/shop.yaml. */
export function pathSecret({ cert, key }: { readonly cert: string; readonly key: string }): object {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const data = { 'tls.crt': base64(cert), 'tls.key': base64(key) };
  const metadata = { ...META, name: 'shop' };
  return { apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', data };
}
