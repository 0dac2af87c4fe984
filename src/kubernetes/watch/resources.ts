/** What is asked of the API server, with the selectors of kube-proxy (spec 3.1). */
import type { ObjectKind } from '../../objects/ApiObject.js';
import { SERVICE_LABEL } from '../../objects/EndpointSlice.js';

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
/** In namespace default. */
const API_SERVICE = 'kubernetes';
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

/**
 * What of them everything else needs first: the Services of the API server and of kube-system, where the DNS is, each with its slices, and
 * the Node.
 */
export function urgentResources(nodeName: string, serviceProxyName: string): readonly Resource[] {
  const [all, slices, node] = watchedResources(nodeName, serviceProxyName) as [Resource, Resource, Resource];
  return [
    within('default', all, { fieldSelector: `metadata.name=${API_SERVICE},${all.query.fieldSelector}` }),
    within('default', slices, {
      labelSelector: `${SERVICE_LABEL}=${API_SERVICE},${slices.query.labelSelector}`,
    }),
    within('kube-system', all),
    within('kube-system', slices),
    node,
  ];
}

function within(namespace: string, resource: Resource, query: Resource['query'] = {}): Resource {
  const at = resource.path.lastIndexOf('/');
  const path = `${resource.path.slice(0, at)}/namespaces/${namespace}${resource.path.slice(at)}`;
  const title = `${resource.title} of namespace ${namespace}`;
  return { ...resource, title, path, query: { ...resource.query, ...query } };
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
