/** The table of path matches in the API's documentation (kubernetes.io, "Ingress", "Examples"), and its table of wildcard hosts. */

/** Paths as `Prefix /aaa`; the request's path; which of them answers, or nobody. */
export const PATH_MATCHES: readonly (readonly [
  paths: readonly string[],
  request: string,
  by: string | undefined,
])[] = [
  [['Prefix /'], '/any/thing', 'Prefix /'],
  [['Exact /foo'], '/foo', 'Exact /foo'],
  [['Exact /foo'], '/bar', undefined],
  [['Exact /foo'], '/foo/', undefined],
  [['Exact /foo/'], '/foo', undefined],
  [['Prefix /foo'], '/foo', 'Prefix /foo'],
  [['Prefix /foo'], '/foo/', 'Prefix /foo'],
  [['Prefix /foo/'], '/foo', 'Prefix /foo/'],
  [['Prefix /foo/'], '/foo/', 'Prefix /foo/'],
  [['Prefix /aaa/bb'], '/aaa/bbb', undefined],
  [['Prefix /aaa/bbb'], '/aaa/bbb', 'Prefix /aaa/bbb'],
  [['Prefix /aaa/bbb/'], '/aaa/bbb', 'Prefix /aaa/bbb/'],
  [['Prefix /aaa/bbb'], '/aaa/bbb/', 'Prefix /aaa/bbb'],
  [['Prefix /aaa/bbb'], '/aaa/bbb/ccc', 'Prefix /aaa/bbb'],
  [['Prefix /aaa/bbb'], '/aaa/bbbxyz', undefined],
  [['Prefix /', 'Prefix /aaa'], '/aaa/ccc', 'Prefix /aaa'],
  [['Prefix /', 'Prefix /aaa'], '/ccc', 'Prefix /'],
  [['Prefix /', 'Prefix /aaa', 'Prefix /aaa/bbb'], '/aaa/bbb', 'Prefix /aaa/bbb'],
  [['Prefix /', 'Prefix /aaa', 'Prefix /aaa/bbb'], '/aaa/ccc', 'Prefix /aaa'],
  [['Prefix /aaa'], '/ccc', undefined],
  [['Prefix /foo', 'Exact /foo'], '/foo', 'Exact /foo'],
  [['Prefix /foo', 'Exact /foo'], '/foo/x', 'Prefix /foo'],
];

export const HOST_MATCHES: readonly (readonly [host: string, request: string, matches: boolean])[] = [
  ['*.foo.com', 'bar.foo.com', true],
  ['*.foo.com', 'baz.bar.foo.com', false],
  ['*.foo.com', 'foo.com', false],
  ['foo.com', 'foo.com', true],
  ['foo.com', 'xfoo.com', false],
];

export interface IngressWords {
  readonly name?: string;
  readonly namespace?: string;
  readonly created?: string;
  readonly host?: string;
  /** `Prefix /aaa` → the Service that it leads to, at port 80. */
  readonly paths?: Readonly<Record<string, string>>;
  readonly spec?: object;
  readonly annotations?: object;
}

export function ingress({
  name = 'web',
  namespace = 'shop',
  created,
  host,
  paths = {},
  spec,
  annotations,
}: IngressWords) {
  const items = Object.entries(paths).map(([words, service]) => {
    const [pathType, path] = words.split(' ');
    return { path, pathType, backend: { service: { name: service, port: { name: 'http' } } } };
  });
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, namespace, annotations, creationTimestamp: created },
    spec: {
      ingressClassName: 'penstock-path',
      ...(items.length > 0 ? { rules: [{ host, http: { paths: items } }] } : {}),
      ...spec,
    },
  };
}
