/** The kinds that ClusterServer has, and how it tells kubectl of them: discovery, and that it checks fields itself (OpenAPI v3). */
export interface ClusterKind {
  readonly apiVersion: string;
  readonly kind: string;
  /** In paths. */
  readonly name: string;
  readonly namespaced: boolean;
}

const kind = (apiVersion: string, name: string, kind: string, namespaced = true): ClusterKind => ({
  apiVersion,
  kind,
  name,
  namespaced,
});

export const KINDS: readonly ClusterKind[] = [
  kind('v1', 'pods', 'Pod'),
  kind('v1', 'nodes', 'Node', false),
  kind('v1', 'namespaces', 'Namespace', false),
  kind('v1', 'services', 'Service'),
  kind('v1', 'configmaps', 'ConfigMap'),
  kind('v1', 'secrets', 'Secret'),
  kind('v1', 'serviceaccounts', 'ServiceAccount'),
  kind('v1', 'events', 'Event'),
  kind('apps/v1', 'daemonsets', 'DaemonSet'),
  kind('apps/v1', 'deployments', 'Deployment'),
  kind('discovery.k8s.io/v1', 'endpointslices', 'EndpointSlice'),
  kind('rbac.authorization.k8s.io/v1', 'clusterroles', 'ClusterRole', false),
  kind('rbac.authorization.k8s.io/v1', 'clusterrolebindings', 'ClusterRoleBinding', false),
  kind('rbac.authorization.k8s.io/v1', 'roles', 'Role'),
  kind('rbac.authorization.k8s.io/v1', 'rolebindings', 'RoleBinding'),
  kind('apiextensions.k8s.io/v1', 'customresourcedefinitions', 'CustomResourceDefinition', false),
];

/** `/api/v1` */
export function groupPath({ apiVersion }: Pick<ClusterKind, 'apiVersion'>): string {
  return apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
}

/** Where objects of a kind are. */
export function apiPaths(of: ClusterKind, namespace = 'default'): string {
  return `${groupPath(of)}${of.namespaced ? `/namespaces/${namespace}` : ''}/${of.name}`;
}

const VERSIONS = [...new Set(KINDS.map(({ apiVersion }) => apiVersion))];
const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];

/** What is asked before anything else; undefined: something else is asked. */
export function discovery(path: string): object | undefined {
  if (path === '/version') return { major: '1', minor: '35', gitVersion: 'v1.35.2' };
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'] };
  if (path === '/apis') {
    const groups = VERSIONS.filter((each) => each !== 'v1').map((groupVersion) => {
      const [name, version] = groupVersion.split('/');
      const one = { groupVersion, version };
      return { name, versions: [one], preferredVersion: one };
    });
    return { kind: 'APIGroupList', apiVersion: 'v1', groups };
  }
  const groupVersion = VERSIONS.find((apiVersion) => path === groupPath({ apiVersion }));
  if (groupVersion === undefined) return undefined;
  const resources = KINDS.filter(({ apiVersion }) => apiVersion === groupVersion).map((each) => ({
    ...each,
    singularName: each.kind.toLowerCase(),
    verbs: VERBS,
    shortNames: each.name === 'services' ? ['svc'] : [],
  }));
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
}

/** That every PATCH takes `fieldValidation`, which is all that kubectl looks for before it leaves validation to the server. */
export function fieldValidation(path: string): object | undefined {
  if (path === '/openapi/v3') {
    const paths = VERSIONS.map((apiVersion) => groupPath({ apiVersion }).slice(1));
    return {
      paths: Object.fromEntries(paths.map((each) => [each, { serverRelativeURL: `/openapi/v3/${each}` }])),
    };
  }
  const groupVersion = VERSIONS.find((apiVersion) => path === `/openapi/v3${groupPath({ apiVersion })}`);
  if (groupVersion === undefined) return undefined;
  const parameters = [{ name: 'fieldValidation', in: 'query', schema: { type: 'string' } }];
  const paths = KINDS.filter(({ apiVersion }) => apiVersion === groupVersion).map((each) => {
    const [group, version] = groupVersion === 'v1' ? ['', 'v1'] : groupVersion.split('/');
    const gvk = { group, version, kind: each.kind };
    const patch = { parameters, responses: {}, 'x-kubernetes-group-version-kind': gvk };
    return [`${apiPaths(each, '{namespace}')}/{name}`, { patch }];
  });
  return {
    openapi: '3.0.0',
    info: { title: 'ClusterServer', version: '1' },
    paths: Object.fromEntries(paths),
    components: { schemas: {} },
  };
}
