/** All Ingresses together: which host and path leads to which cluster IP. Both proxies' files are written from this one table. */
import { joinHostPort } from '../../src/net/ip.js';
import type { Problem } from '../../src/objects/Problem.js';
import type { Service } from '../../src/objects/Service.js';
import { type Certificate, certificateOf, type Secret } from './certificate.js';
import type { ClaimedPath, Ingress, ServiceRef } from './readIngress.js';

/** One port of one Service. */
export interface Backend {
  /** `shop_cart_80`: names have no underscore, so that no two are the same. */
  readonly id: string;
  /** The cluster IP and port: `172.30.0.10:80`. */
  readonly address: string;
}

export interface Target {
  readonly backend: Backend;
  readonly canary: { readonly backend: Backend; readonly percent: number } | undefined;
}

export interface Route {
  readonly type: 'Exact' | 'Prefix';
  readonly path: string;
  /** undefined: the Service is not there or cannot be reached; such requests get 503. */
  readonly target: Target | undefined;
}

export interface HostRoutes {
  readonly host: string;
  /** In the order in which they are tried. */
  readonly routes: readonly Route[];
  /** What fits none; undefined: 404. */
  readonly fallback: Route['target'];
  readonly certificate: Certificate | undefined;
}

export interface RouteTable {
  /** Plain hosts, then wildcards, then the rest ('', always there). */
  readonly hosts: readonly HostRoutes[];
  readonly problems: readonly Problem[];
}

export interface Objects {
  readonly ingresses: readonly Ingress[];
  /** By `namespace/name`. */
  readonly services: ReadonlyMap<string, Service>;
  /** Of type kubernetes.io/tls, by `namespace/name`. */
  readonly secrets: ReadonlyMap<string, Secret>;
}

interface Draft {
  readonly routes: Map<string, Route & { readonly owner: string }>;
  fallback: Route['target'];
  certificate: Certificate | undefined;
}

export function buildRoutes({ ingresses, services, secrets }: Objects): RouteTable {
  const drafts = new Map<string, Draft>([['', newDraft()]]);
  const problems: Problem[] = [];
  const draftOf = (host: string): Draft => {
    const draft = drafts.get(host) ?? newDraft();
    drafts.set(host, draft);
    return draft;
  };
  for (const ingress of [...ingresses].sort(bySeniority)) {
    const subject = `Ingress ${ingress.namespace}/${ingress.name}`;
    const say = (message: string) => problems.push({ subject, message });
    const target = (ref: ServiceRef): Route['target'] => targetOf(ref, ingress, services, say);
    const fallback = ingress.fallback && target(ingress.fallback);
    for (const claim of ingress.paths) {
      const { routes } = draftOf(claim.host);
      const owner = routes.get(keyOf(claim))?.owner;
      if (owner === undefined)
        routes.set(keyOf(claim), { ...claim, target: target(claim.backend), owner: subject });
      else
        say(
          `${claim.host || 'every host'}${claim.path || '/'} (${claim.type}) belongs to ${owner}, which is older`,
        );
    }
    const own = ingress.paths.length === 0 ? [''] : new Set(ingress.paths.map(({ host }) => host));
    if (fallback) for (const host of own) draftOf(host).fallback ??= fallback;
    for (const { hosts, secret } of ingress.tls) {
      const name = `${ingress.namespace}/${secret}`;
      const found = certificateOf(name, secrets.get(name));
      if (typeof found === 'string') say(`Secret ${name} ${found}: no TLS for ${hosts.join(', ')}`);
      else for (const host of hosts) if (drafts.has(host)) draftOf(host).certificate ??= found;
    }
  }
  const everybody = drafts.get('')?.fallback;
  const hosts = [...drafts].map(([host, { routes, fallback, certificate }]) => ({
    host,
    routes: [...routes.values()].sort(byPrecedence).map(({ type, path, target }) => ({ type, path, target })),
    fallback: fallback ?? everybody,
    certificate,
  }));
  return {
    hosts: hosts.sort((a, b) => rankOf(a.host) - rankOf(b.host) || (a.host < b.host ? -1 : 1)),
    problems,
  };
}

/** What both proxies do, said once: the most specific host decides, then Exact, then the longest prefix of whole elements. */
export function routeOf(
  { hosts }: RouteTable,
  host: string,
  path: string,
): Route['target'] | 'unavailable' | 'not found' {
  const found = hosts.find((each) => hostMatches(each.host, host));
  const route = found && routeWithin(found.routes, path);
  if (route !== undefined) return route.target ?? 'unavailable';
  return found?.fallback ?? 'not found';
}

/** Of one host's, in their order. */
export function routeWithin(routes: readonly Route[], path: string): Route | undefined {
  return routes.find((each) =>
    each.type === 'Exact' ? path === each.path : `${path}/`.startsWith(`${each.path}/`),
  );
}

export function backendsOf(table: RouteTable): readonly Backend[] {
  const targets = table.hosts.flatMap(({ routes, fallback }) => [
    ...routes.map(({ target }) => target),
    fallback,
  ]);
  const backends = targets.flatMap((target) =>
    target ? [target.backend, ...(target.canary ? [target.canary.backend] : [])] : [],
  );
  return [...new Map(backends.map((backend) => [backend.id, backend])).values()];
}

const newDraft = (): Draft => ({ routes: new Map(), fallback: undefined, certificate: undefined });
const keyOf = ({ type, path }: ClaimedPath): string => `${type} ${path}`;
const rankOf = (host: string): number => (host === '' ? 2 : host.startsWith('*') ? 1 : 0);

function hostMatches(pattern: string, host: string): boolean {
  if (pattern === '' || pattern === host) return true;
  return pattern.startsWith('*.') && host.replace(/^[^.]+/, '*') === pattern;
}

function bySeniority(a: Ingress, b: Ingress): number {
  if (a.created !== b.created) return a.created < b.created ? -1 : 1;
  return `${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1;
}

function byPrecedence(a: Route, b: Route): number {
  if (a.type !== b.type) return a.type === 'Exact' ? -1 : 1;
  return b.path.length - a.path.length || (a.path < b.path ? -1 : 1);
}

function targetOf(
  ref: ServiceRef,
  { namespace, canary }: Ingress,
  services: Objects['services'],
  say: (message: string) => void,
): Route['target'] {
  const backend = backendOf(ref, namespace, services);
  if (typeof backend === 'string') {
    say(`${backend}: its requests get 503`);
    return undefined;
  }
  if (canary === undefined) return { backend, canary };
  const other = backendOf({ ...ref, service: canary.service }, namespace, services);
  if (typeof other !== 'string') return { backend, canary: { backend: other, percent: canary.percent } };
  say(`${other}: no canary`);
  return { backend, canary: undefined };
}

function backendOf(
  { service: name, port }: ServiceRef,
  namespace: string,
  services: Objects['services'],
): Backend | string {
  const service = services.get(`${namespace}/${name}`);
  if (service === undefined) return `Service ${namespace}/${name} is not there`;
  const ip = service.clusterIPs.IPv4 ?? service.clusterIPs.IPv6;
  // ExternalName among them: a tenant could lead the proxy anywhere.
  if (ip === undefined) return `Service ${namespace}/${name} has no cluster IP`;
  const found = service.ports.find(
    (each) => each.protocol === 'TCP' && (each.port === port || each.name === port),
  );
  if (found === undefined) return `Service ${namespace}/${name} has no TCP port ${port}`;
  return { id: `${namespace}_${name}_${found.port}`, address: joinHostPort(ip, found.port) };
}
