/** The table of routes as HAProxy's file, of a gateway or of a mesh's sidecar: one use_backend a pattern. */
import type { Backend, RouteTable } from './routes.js';
import { fill, type ProxyFiles, type ProxyOptions } from './template.js';

export function gatewayFiles(table: RouteTable, options: ProxyOptions): ProxyFiles {
  const { certificates } = table;
  // IPv4 by itself: a client's address is to be written as `203.0.113.7`, not as a mapped one.
  const both = (port: string) => [`bind 0.0.0.0:${port}`, `bind [::]:${port} v6only`];
  const tls = both(`443 ssl crt-list ${options.folder}/crt-list strict-sni alpn h2,http/1.1`);
  const listen = [
    ...both('80'),
    ...(certificates.length > 0 ? tls : []),
    ...options.proxyFrom.map((from) => `tcp-request connection expect-proxy layer4 if { src ${from} }`),
    'http-request set-header X-Forwarded-For %[src]',
    'http-response set-header X-Edge-Saw %[src]',
  ];
  return new Map([
    ['haproxy.cfg', write(table, options, { listen, otherwise: ['not-found'] })],
    ['crt-list', certificates.map(({ host, file }) => `${options.folder}/${file} ${host}\n`).join('')],
    ...certificates.map(({ file, pem }) => [file, pem] as const),
  ]);
}

/** Takes all of its pod's connections: what the app opens on 15001, what comes to its port, 8080, on 15006. */
export function sidecarFiles(table: RouteTable, options: ProxyOptions): ProxyFiles {
  const text = write(table, options, { listen: ['bind 127.0.0.1:15001'], otherwise: ['original'] });
  return new Map([['haproxy.cfg', `${text}${fill('sidecar.cfg', {})}`]]);
}

type Lines = Readonly<Record<'listen' | 'otherwise', readonly string[]>>;

function write({ routes, backends }: RouteTable, { keepAlive }: ProxyOptions, lines: Lines): string {
  const backend = ({ id, servers }: Backend) => [
    `backend ${id}`,
    ...servers.map(({ address, weight }, i) => `  server s${i} ${address} weight ${weight} ${purge}`),
  ];
  const purge = `pool-purge-delay ${keepAlive}s`;
  return fill('haproxy.cfg', {
    ...lines,
    'keep-alive': [`${keepAlive}s`],
    routes: routes.map(({ pattern, to }) => `use_backend ${to} if { var(txn.url) -m reg '${pattern}' }`),
    backends: backends.flatMap(backend),
  });
}
