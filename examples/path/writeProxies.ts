/** The table of routes as nginx' and HAProxy's files. What is put in was checked: names, hosts, paths without quotes or spaces. */
import type { Certificate } from './certificate.js';
import { backendsOf, type HostRoutes, type Route, type RouteTable, routeWithin } from './routes.js';

export interface ProxyOptions {
  /** Where the files will be; keys below it in tls/. */
  readonly folder: string;
  /** The listeners take PROXY protocol from these addresses or networks, and from nobody else. */
  readonly proxyFrom: readonly string[];
  /** Seconds after which a connection to a cluster IP is not used again: by then new pods have their share. */
  readonly keepAlive: number;
}

export type ProxyFiles = ReadonlyMap<string, string>;

export function nginxFiles(table: RouteTable, options: ProxyOptions): ProxyFiles {
  const splits: string[] = [];
  const servers = table.hosts.map((host) => nginxServer(host, options, splits));
  const upstreams = backendsOf(table).map(
    ({ id, address }) =>
      // Named three times: what fails is tried twice more, and the cluster IP leads to another pod.
      `  upstream ${id} {
    server ${address} max_fails=0;
    server ${address} max_fails=0;
    server ${address} max_fails=0;
    keepalive 32;
    keepalive_time ${options.keepAlive}s;
  }`,
  );
  const text = `# Written by examples/path of penstock: changes do not last.
worker_processes 2;
pid ${options.folder}/nginx.pid;
error_log ${options.folder}/error.log warn;
worker_shutdown_timeout 30s;
events { worker_connections 4096; }
http {
  access_log off;
  server_tokens off;
  merge_slashes off;
  server_names_hash_bucket_size 512;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  # What the client says of itself is not passed on.
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme;
  add_header X-Edge-Saw $remote_addr always;
  proxy_connect_timeout 1s;
  proxy_next_upstream error timeout;
  proxy_next_upstream_tries 3;
${['client_body_temp', 'proxy_temp', 'fastcgi_temp', 'uwsgi_temp', 'scgi_temp'].map((name) => `  ${name}_path ${options.folder}/${name};`).join('\n')}
${options.proxyFrom.map((from) => `  set_real_ip_from ${from};`).join('\n')}
${options.proxyFrom.length > 0 ? '  real_ip_header proxy_protocol;' : ''}
${[...upstreams, ...splits, ...servers].join('\n')}
}
`;
  return new Map([['nginx.conf', text], ...keyFiles(table, (each) => `${each.cert}${each.key}`)]);
}

function nginxServer(
  { host, routes, fallback, certificate }: HostRoutes,
  options: ProxyOptions,
  splits: string[],
): string {
  // nginx' own wildcard takes any number of labels, the API's one.
  const name = host.startsWith('*.') ? `"~^[^.]+${host.slice(1).replaceAll('.', '\\.')}$"` : host || '_';
  const more = `${host === '' ? ' default_server' : ''}${options.proxyFrom.length > 0 ? ' proxy_protocol' : ''}`;
  const file = certificate && `${options.folder}/tls/${certificate.file}.pem`;
  const tls = file ? `ssl_certificate ${file}; ssl_certificate_key ${file};` : 'ssl_reject_handshake on;';
  const pass = (target: Route['target']): string => {
    if (target === undefined) return 'return 503;';
    const { backend, canary } = target;
    if (canary === undefined) return `proxy_pass http://${backend.id};`;
    if (canary.percent === 100) return `proxy_pass http://${canary.backend.id};`;
    const split = `$split_${splits.length}`;
    splits.push(
      `  split_clients "$request_id" ${split} { ${canary.percent}% ${canary.backend.id}; * ${backend.id}; }`,
    );
    return `proxy_pass http://${split};`;
  };
  const exact = new Set(routes.filter(({ type }) => type === 'Exact').map(({ path }) => path));
  const prefixes = new Set(routes.filter(({ type }) => type === 'Prefix').map(({ path }) => path));
  const passOrNot = (route: Route | undefined): string =>
    route ? pass(route.target) : fallback ? pass(fallback) : 'return 404;';
  const locations = routes.flatMap(({ type, path, target }) => {
    const action = `{ ${pass(target)} }`;
    // For a location that ends with a slash nginx redirects the path without it, unless that has its own.
    const bare = path.slice(0, -1);
    if (type === 'Exact') {
      const own = [`    location = "${path}" ${action}`];
      if (path.length < 2 || !path.endsWith('/') || exact.has(bare) || prefixes.has(bare)) return own;
      return [...own, `    location = "${bare}" { ${passOrNot(routeWithin(routes, bare))} }`];
    }
    const itself = path === '' || exact.has(path) ? [] : [`    location = "${path}" ${action}`];
    return [...itself, `    location ^~ "${path}/" ${action}`];
  });
  if (!routes.some(({ type, path }) => type === 'Prefix' && path === ''))
    locations.push(`    location / { ${passOrNot(undefined)} }`);
  const listens = ['80', '443 ssl'].map((port) => `listen ${port}${more}; listen [::]:${port}${more};`);
  return `  server {
    ${listens[0]} ${listens[1]}
    server_name ${name};
    ${tls}
${locations.join('\n')}
  }`;
}

export type HaproxyRole =
  | { readonly kind: 'gateway' }
  /** Takes all of its pod's connections: what the app opens on 15001, what comes to it on 15006. */
  | { readonly kind: 'sidecar'; readonly app: number };

export function haproxyFiles(table: RouteTable, options: ProxyOptions, role: HaproxyRole): ProxyFiles {
  const isSidecar = role.kind === 'sidecar';
  const hasKeys = table.hosts.some(({ certificate }) => certificate);
  const expect = options.proxyFrom.map(
    (from) => `  tcp-request connection expect-proxy layer4 if { src ${from} }`,
  );
  const binds = isSidecar
    ? ['  bind 127.0.0.1:15001']
    : [
        ...both('80', ''),
        ...(hasKeys
          ? both('443', ` ssl crt-list ${options.folder}/crt-list strict-sni alpn h2,http/1.1`)
          : []),
        ...expect,
      ];
  const text = `# Written by examples/path of penstock: changes do not last.
global
  maxconn 4096
  hard-stop-after 30s
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  timeout http-keep-alive ${options.keepAlive}s
  retries 3
  retry-on conn-failure empty-response
frontend routes
${binds.join('\n')}
  http-request disable-l7-retry if !METH_GET
  # Each request by its own name: one that can be written in two ways could pass by a rule.
  http-request deny deny_status 400 if { path -m reg -i '(/\\.\\.?(/|$))|(%(2[def]|3[0-9]|[46][1-9a-f]|[57][0-9a]|40|5f|7e|60))' }
${isSidecar ? '' : '  http-request set-header X-Forwarded-For %[src]\n  http-response set-header X-Edge-Saw %[src]\n'}\
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower
${table.hosts.map(haproxyRules).join('\n')}
  default_backend ${isSidecar ? 'original' : 'nowhere'}
${isSidecar ? sidecarInbound(role.app) : ''}
backend nowhere
  http-request return status 404
backend unavailable
  http-request return status 503
${backendsOf(table)
  .map(({ id, address }) => `backend ${id}\n  server vip ${address} pool-purge-delay ${options.keepAlive}s`)
  .join('\n')}
`;
  const list = table.hosts.flatMap(({ host, certificate }) =>
    certificate ? [`${options.folder}/tls/${certificate.file}.pem ${host}\n`] : [],
  );
  const keys = isSidecar ? [] : keyFiles(table, (each) => `${each.cert}${each.key}`);
  return new Map([['haproxy.cfg', text], ['crt-list', list.join('')], ...keys]);
}

/** IPv4 by itself: a client's address is to be written as `203.0.113.7`, not as a mapped one. */
function both(port: string, more: string): string[] {
  return [`  bind 0.0.0.0:${port}${more}`, `  bind [::]:${port} v6only${more}`];
}

function haproxyRules({ host, routes, fallback }: HostRoutes, i: number): string {
  const wildcard = `-m reg '^[^.]+${host.slice(1).replaceAll('.', '\\.')}$'`;
  const acl =
    host === ''
      ? `  acl host${i} always_true`
      : `  acl host${i} var(txn.host) ${host.startsWith('*.') ? wildcard : `-m str '${host}'`}`;
  const use = (target: Route['target'], condition: string): string[] => {
    if (target === undefined) return [`  use_backend unavailable if ${condition}`];
    const { backend, canary } = target;
    const share =
      canary && `  use_backend ${canary.backend.id} if { rand(100) lt ${canary.percent} } ${condition}`;
    return [...(share ? [share] : []), `  use_backend ${backend.id} if ${condition}`];
  };
  const rules = routes.flatMap(({ type, path, target }) => {
    const itself = path === '' ? [] : use(target, `host${i} { path -m str '${path}' }`);
    return type === 'Exact' ? itself : [...itself, ...use(target, `host${i} { path -m beg '${path}/' }`)];
  });
  // The most specific host decides: what fits none of its paths is not looked for among the others'.
  const last = fallback ? use(fallback, `host${i}`) : [`  use_backend nowhere if host${i}`];
  return [acl, ...rules, ...(host === '' && fallback === undefined ? [] : last)].join('\n');
}

function sidecarInbound(app: number): string {
  return `frontend inbound
  bind :15006
  default_backend app
backend app
  server app 127.0.0.1:${app}
# Nobody's route: to where the app wanted, which the REDIRECT has kept.
backend original
  server original 0.0.0.0:0`;
}

function keyFiles({ hosts }: RouteTable, text: (certificate: Certificate) => string): [string, string][] {
  return hosts.flatMap(({ certificate }) =>
    certificate ? [[`tls/${certificate.file}.pem`, text(certificate)] as [string, string]] : [],
  );
}
