/** All Ingresses together, as one list in which the first pattern that fits decides. Both proxies' files are written from it. */
import { joinHostPort } from '../../src/net/ip.js';
import type { Service } from '../../src/objects/Service.js';
import { CANARY, type Ingress, type ServiceRef } from './ingress.js';

/** All by `namespace/name`; Secrets as pemOf() writes them. */
export interface Objects {
  readonly ingresses: readonly Ingress[];
  readonly services: ReadonlyMap<string, Service>;
  readonly secrets: ReadonlyMap<string, string>;
}

export interface Backend {
  /** `shop_cart_80`, with a canary `shop_cart_80_new_10`: names have no underscore, so that no two are the same. */
  readonly id: string;
  /** Cluster IPs with ports: `172.30.0.10:80`. */
  readonly servers: readonly { readonly address: string; readonly weight: number }[];
}

export interface RouteTable {
  /**
   * Patterns are regular expressions of `host/path`, which nginx and HAProxy read alike. `to` is the id of a backend, or `not-found` (404)
   * or `unavailable` (503), which the proxy answers itself.
   */
  readonly routes: readonly { readonly pattern: string; readonly to: string }[];
  readonly backends: readonly Backend[];
  /** `file` is below the proxy's folder. */
  readonly certificates: readonly { readonly host: string; readonly file: string; readonly pem: string }[];
}

/** Host '' is every host. The path of a prefix has no slash at the end: '' is everything. */
interface Claim {
  readonly host: string;
  readonly type: 'Exact' | 'Prefix';
  readonly path: string;
  /** undefined: not found. */
  readonly service: ServiceRef | undefined;
  readonly metadata: Ingress['metadata'];
}

/** `say` is told what cannot be done as it was asked for. */
export function buildRoutes(objects: Objects, say: (line: string) => void): RouteTable {
  const claims = new Map<string, Claim>();
  const secured = new Map<string, RouteTable['certificates'][number]>();
  for (const ingress of objects.ingresses.toSorted(bySeniority)) {
    for (const claim of claimsOf(ingress)) {
      const older = claims.get(keyOf(claim));
      if (older) say(`${nameOf(claim)}: ${keyOf(claim)} belongs to ${nameOf(older)}, which is older`);
      else claims.set(keyOf(claim), claim);
    }
    for (const { hosts, secretName } of ingress.spec.tls) {
      const secret = `${ingress.metadata.namespace}/${secretName}`;
      const [file, pem] = [`tls/${secret.replace('/', '_')}.pem`, objects.secrets.get(secret)];
      if (pem === undefined)
        say(`${nameOf(ingress)}: no TLS for ${hosts}: no certificate in Secret ${secret}`);
      else for (const host of hosts) if (!secured.has(host)) secured.set(host, { host, file, pem });
    }
  }
  // The most specific host decides alone: what fits none of its paths is not looked for among those of a wildcard.
  const everything = { host: '', type: 'Prefix', path: '' } as const;
  const rest = claims.get(keyOf(everything));
  for (const { host, metadata } of [...claims.values()]) {
    const last = { ...everything, metadata, service: rest?.service, ...rest, host };
    if (host !== '' && !claims.has(keyOf(last))) claims.set(keyOf(last), last);
  }
  const backends = new Map<string, Backend>();
  const routes = [...claims.values()].sort(byPrecedence).map((claim) => {
    const backend = claim.service && backendOf(claim.service, claim.metadata, objects.services);
    if (typeof backend === 'string') say(`${nameOf(claim)}: ${backend}: its requests get 503`);
    if (typeof backend !== 'object')
      return { pattern: patternOf(claim), to: backend ? 'unavailable' : 'not-found' };
    backends.set(backend.id, backend);
    return { pattern: patternOf(claim), to: backend.id };
  });
  return { routes, backends: [...backends.values()], certificates: [...secured.values()] };
}

const nameOf = ({ metadata }: Pick<Ingress, 'metadata'>) => `Ingress ${metadata.namespace}/${metadata.name}`;
const keyOf = (claim: Pick<Claim, 'host' | 'type' | 'path'>) =>
  `${claim.host}${claim.path || '/'} (${claim.type})`;

function claimsOf({ metadata, spec }: Ingress): readonly Claim[] {
  const claims = spec.rules.flatMap(({ host, http }) =>
    http.paths.map(({ path, pathType, backend: { service } }): Claim => {
      if (pathType === 'Exact') return { host, type: 'Exact', path, service, metadata };
      return { host, type: 'Prefix', path: path.replace(/\/$/, ''), service, metadata };
    }),
  );
  const fallback = spec.defaultBackend?.service;
  const keys = new Set(claims.map(keyOf));
  const rests = [...new Set(spec.rules.map(({ host }) => host)), ...(spec.rules.length > 0 ? [] : [''])]
    .map((host): Claim => ({ host, type: 'Prefix', path: '', service: fallback, metadata }))
    .filter((claim) => fallback && !keys.has(keyOf(claim)));
  return [...claims, ...rests];
}

/** A text says what is missing. */
function backendOf(
  ref: ServiceRef,
  metadata: Ingress['metadata'],
  services: Objects['services'],
): Backend | string {
  const serverOf = (name: string) => {
    const service = services.get(`${metadata.namespace}/${name}`);
    // ExternalName has none: a tenant could lead the proxy anywhere.
    const ip = service?.clusterIPs.IPv4 ?? service?.clusterIPs.IPv6;
    const tcp = service?.ports.filter(({ protocol }) => protocol === 'TCP');
    const port = tcp?.find((each) => each.port === ref.port || each.name === ref.port)?.port;
    return ip && port
      ? { id: `${metadata.namespace}_${name}_${port}`, address: joinHostPort(ip, port) }
      : undefined;
  };
  const main = serverOf(ref.name);
  if (!main)
    return `Service ${metadata.namespace}/${ref.name} is not there, or has no cluster IP or TCP port ${ref.port}`;
  const [name = '', percent = ''] = metadata.annotations[CANARY]?.split('=') ?? [];
  const canary = serverOf(name);
  // Of a canary that is not there the share stays where it was.
  if (!canary) return { id: main.id, servers: [{ address: main.address, weight: 100 }] };
  const weights = { [main.address]: 100 - Number(percent), [canary.address]: Number(percent) };
  const servers = Object.entries(weights).map(([address, weight]) => ({ address, weight }));
  return { id: `${main.id}_${name}_${percent}`, servers: servers.filter(({ weight }) => weight > 0) };
}

/** A prefix fits whole elements: `/aaa`, not `/aaab`. A wildcard is one label. */
function patternOf({ host, type, path }: Claim): string {
  const literally = (text: string) => text.replace(/[.*+()]/g, '\\$&');
  const hosts = host === '' ? '[^/]*' : literally(host).replace(/^\\\*/, '[^./]+');
  return `^${hosts}${literally(path)}${type === 'Exact' ? '$' : '(/|$)'}`;
}

function bySeniority({ metadata: a }: Ingress, { metadata: b }: Ingress): number {
  const age = Date.parse(a.creationTimestamp) - Date.parse(b.creationTimestamp);
  return age || (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1);
}

function byPrecedence(a: Claim, b: Claim): number {
  const rank = ({ host }: Claim) => (host === '' ? 2 : host.startsWith('*') ? 1 : 0);
  if (a.host !== b.host) return rank(a) - rank(b) || (a.host < b.host ? -1 : 1);
  return a.type === b.type ? b.path.length - a.path.length : a.type === 'Exact' ? -1 : 1;
}
