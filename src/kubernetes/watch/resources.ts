/** What is asked of the API server, with the selectors of kube-proxy (spec 3.1). */
import type { ObjectKind } from '../../objects/ApiObject.js';

/** What a list or a watch asks for. */
export interface WatchedPath {
  /** For messages: `Services`. */
  readonly title: string;
  readonly path: string;
  /** Selectors. */
  readonly query: Readonly<Record<string, string>>;
  /** The server may not have it, or not let us: then there is nothing of it. */
  readonly optional: boolean;
  /** Milliseconds, at most, until it is asked for again where it is not there; undefined: five minutes. */
  readonly absentRetryMs?: number;
}

/** One whose objects parseObject reads. */
export interface Resource extends WatchedPath {
  readonly kind: ObjectKind;
  readonly apiVersion: string;
}

const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
const HEADLESS_LABEL = 'service.kubernetes.io/headless';

/** `serviceProxyName`: only Services with this value of the label; '' for those without the label. */
export function watchedResources(nodeName: string, serviceProxyName: string): readonly Resource[] {
  return [
    services(serviceProxyName),
    {
      kind: 'EndpointSlice',
      apiVersion: 'discovery.k8s.io/v1',
      title: 'EndpointSlices',
      path: '/apis/discovery.k8s.io/v1/endpointslices',
      query: { labelSelector: `!${HEADLESS_LABEL}` },
      optional: false,
    },
    nodes(`Node ${nodeName}`, { fieldSelector: `metadata.name=${nodeName}` }),
    {
      kind: 'ServiceCIDR',
      apiVersion: 'networking.k8s.io/v1',
      title: 'ServiceCIDRs',
      path: '/apis/networking.k8s.io/v1/servicecidrs',
      query: {},
      // Of Kubernetes 1.33 and newer; older RBAC rules do not name them.
      optional: true,
    },
  ];
}

/** Of a balancer outside of the cluster: its endpoints are the nodes. */
export function externalBalancerResources(serviceProxyName: string): readonly Resource[] {
  return [services(serviceProxyName), nodes('Nodes', {})];
}

function services(serviceProxyName: string): Resource {
  return {
    kind: 'Service',
    apiVersion: 'v1',
    title: 'Services',
    path: '/api/v1/services',
    query: {
      labelSelector:
        serviceProxyName === '' ? `!${PROXY_NAME_LABEL}` : `${PROXY_NAME_LABEL}=${serviceProxyName}`,
      fieldSelector: 'spec.clusterIP!=None',
    },
    optional: false,
  };
}

function nodes(title: string, query: Resource['query']): Resource {
  return { kind: 'Node', apiVersion: 'v1', title, path: '/api/v1/nodes', query, optional: false };
}

export function pathOf(resource: WatchedPath, parameters: Readonly<Record<string, string>>): string {
  const query = new URLSearchParams({ ...resource.query, ...parameters }).toString();
  return query === '' ? resource.path : `${resource.path}?${query}`;
}
