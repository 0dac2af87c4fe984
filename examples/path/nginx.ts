/** The table of routes as nginx' file: one map of patterns, one upstream a backend, one server a certificate. */
import type { RouteTable } from './routes.js';
import { fill, type ProxyFiles, type ProxyOptions } from './template.js';

const LOCATION = [
  'location / {',
  '  if ($backend = not-found) { return 404; }',
  '  if ($backend = unavailable) { return 503; }',
  '  proxy_pass http://$backend;',
  '}',
];

export function nginxFiles(table: RouteTable, { folder, proxyFrom, keepAlive }: ProxyOptions): ProxyFiles {
  const server = (port: string, ...lines: readonly string[]) => {
    const listen = `${port}${proxyFrom.length > 0 ? ' proxy_protocol' : ''}`;
    return block('server', `listen ${listen}; listen [::]:${listen};`, ...lines, ...LOCATION);
  };
  const upstreams = table.backends.flatMap(({ id, servers }) => {
    // Named three times: what fails is tried twice more, and the cluster IP leads to another pod.
    const thrice = servers.flatMap(({ address, weight }) =>
      Array<string>(3).fill(`server ${address} weight=${weight} max_fails=0;`),
    );
    return block(`upstream ${id}`, ...thrice, 'keepalive 32;', `keepalive_time ${keepAlive}s;`);
  });
  const secured = table.certificates.flatMap(({ host, file }) => {
    const pem = `${folder}/${file}`;
    // nginx' own wildcard takes any number of labels, the API's one.
    const name = host.startsWith('*.') ? `"~^[^.]+${host.slice(1).replaceAll('.', '\\.')}$"` : host;
    return server('443 ssl', `server_name ${name};`, `ssl_certificate ${pem}; ssl_certificate_key ${pem};`);
  });
  const plain = server('80 default_server');
  const handshake = server('443 ssl default_server', 'ssl_reject_handshake on;');
  const text = fill('nginx.conf', {
    folder: [folder],
    'proxy-from': proxyFrom.map((from) => `set_real_ip_from ${from};`),
    // $ of PCRE fits before a line feed at the end as well.
    routes: table.routes.map(({ pattern, to }) => `"~${pattern.replace('$', '\\z')}" ${to};`),
    upstreams,
    servers: [...plain, ...handshake, ...secured],
  });
  return new Map([['nginx.conf', text], ...table.certificates.map(({ file, pem }) => [file, pem] as const)]);
}

function block(head: string, ...lines: readonly string[]): readonly string[] {
  return [`${head} {`, ...lines.map((line) => `  ${line}`), '}'];
}
