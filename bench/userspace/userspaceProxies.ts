/** The proxies that are compared: how each is installed, configured and started. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const VIP = '10.96.0.10';
/** Where HAProxy listens when connections to the cluster IP are redirected to it. */
export const REDIRECTED = { address: '10.201.0.1', port: 8000 };
export const VIP_RANGE = '10.96.0.0/12';
export const ENDPOINTS = ['10.200.0.2', '10.200.0.3', '10.200.0.4', '10.200.0.5'];
export const TCP = { service: 80, endpoint: 8080 };
export const UDP = { service: 53, endpoint: 8053 };

export const USUAL = ['direct', 'haproxy', 'nginx', 'penstock'] as const;
/** `floor`: userspaceFloor.c, which only knows small requests. */
export const CONTENDERS = [...USUAL, 'floor'] as const;
export type Contender = (typeof CONTENDERS)[number];

export interface ProxySettings {
  /** Threads or worker processes; penstock makes one for each core that it may use. */
  readonly threads: number;
  /** Connections that the limit of open files allows. */
  readonly connections: number;
  readonly mode: string;
  /** `redirected`: by the kernel's NAT, as connections are to penstock. */
  readonly haproxy: 'listens' | 'redirected';
}

const PENSTOCK = fileURLToPath(new URL('../../../bin/penstock', import.meta.url));
/** Compiled, in the folder of the run. */
export const FLOOR = 'userspaceFloor';
const NGINX_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';

// dpkg-query's own placeholders.
const DPKG_STATUS = '$' + '{db:Status-Status}';
const DPKG_VERSION = '$' + '{Version}';

const PACKAGES: Readonly<Partial<Record<Contender, readonly string[]>>> = {
  haproxy: ['haproxy'],
  nginx: ['nginx-light', 'libnginx-mod-stream'],
};

/** Debian starts the services of what it installs, unless policy-rc.d forbids it, as in containers. */
export function install(proxies: readonly Contender[]): void {
  const installed = (name: string) => {
    try {
      const status = execFileSync('dpkg-query', ['-Wf', DPKG_STATUS, name], { stdio: 'pipe' });
      return status.toString() === 'installed';
    } catch {
      return false;
    }
  };
  const missing = proxies.flatMap((proxy) => PACKAGES[proxy] ?? []).filter((name) => !installed(name));
  if (missing.length === 0) return;
  process.stderr.write(`bench: installing ${missing.join(' ')}, to compare with\n`);
  execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

export function versionOf(proxy: Contender): string {
  switch (proxy) {
    case 'direct':
    case 'floor':
    case 'penstock':
      return '';
    case 'haproxy':
      return execFileSync('haproxy', ['-v']).toString().split('\n')[0] ?? '';
    case 'nginx':
      return `nginx ${execFileSync('dpkg-query', ['-Wf', DPKG_VERSION, 'libnginx-mod-stream'])}`;
  }
}

/** Writes what the proxy needs into a folder; the command that starts it in the foreground, empty for `direct`. */
export function prepare(proxy: Contender, folder: string, settings: ProxySettings): readonly string[] {
  const file = (name: string, text: string) => {
    const path = join(folder, `${proxy}-${name}`);
    writeFileSync(path, text);
    return path;
  };
  switch (proxy) {
    case 'direct':
      return [];
    case 'haproxy':
      return ['haproxy', '-db', '-f', file('haproxy.cfg', haproxyConfig(settings))];
    case 'floor': {
      const to = ENDPOINTS.map((ip) => `${ip}:${TCP.endpoint}`).join(',');
      return [join(folder, FLOOR), `to=${to}`, `at=${VIP}:${TCP.service}`, `threads=${settings.threads}`];
    }
    case 'nginx':
      return ['nginx', '-e', 'stderr', '-p', folder, '-c', file('nginx.conf', nginxConfig(settings))];
    case 'penstock': {
      const manifests = join(folder, 'manifests');
      mkdirSync(manifests, { recursive: true });
      writeFileSync(join(manifests, 'echo.json'), JSON.stringify(penstockObjects()));
      const config = file('config.yaml', penstockConfig(settings.mode));
      return [PENSTOCK, 'run', '--config', config, '--manifests', manifests];
    }
  }
}

/** As one would run it: a listener for each thread, spliced when it pays, health checks, no log of every connection. */
function haproxyConfig({ threads, connections, haproxy }: ProxySettings): string {
  const listens =
    haproxy === 'listens' ? `${VIP}:${TCP.service}` : `${REDIRECTED.address}:${REDIRECTED.port}`;
  const server = (ip: string, n: number) => `  server endpoint${n} ${ip}:${TCP.endpoint} check inter 2s`;
  return `global
  nbthread ${threads}
  maxconn ${connections}
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  maxconn ${connections}
frontend service
  bind ${listens} backlog 16384 shards by-thread
  default_backend endpoints
backend endpoints
  balance roundrobin
${ENDPOINTS.map(server).join('\n')}
`;
}

function nginxConfig({ threads, connections }: ProxySettings): string {
  const servers = (port: number) => ENDPOINTS.map((ip) => `server ${ip}:${port};`).join(' ');
  return `load_module ${NGINX_MODULE};
daemon off;
user root;
pid nginx.pid;
worker_processes ${threads};
worker_rlimit_nofile ${connections * 2};
error_log stderr error;
events { worker_connections ${connections * 2}; }
stream {
  upstream tcp_endpoints { ${servers(TCP.endpoint)} }
  upstream udp_endpoints { ${servers(UDP.endpoint)} }
  server {
    listen ${VIP}:${TCP.service} reuseport backlog=16384;
    proxy_connect_timeout 5s;
    proxy_timeout 1h;
    proxy_pass tcp_endpoints;
  }
  server {
    listen ${VIP}:${UDP.service} udp reuseport;
    proxy_timeout 10s;
    proxy_pass udp_endpoints;
  }
}
`;
}

const penstockConfig = (mode: string) => `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ${mode}
hostnameOverride: node-0
clusterCIDR: 10.0.0.0/8
healthzBindAddress: 127.0.0.1:10256
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`;

function penstockObjects(): object {
  const namespace = 'bench';
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace, name: 'echo' },
    spec: {
      type: 'ClusterIP',
      clusterIP: VIP,
      clusterIPs: [VIP],
      ipFamilies: ['IPv4'],
      ports: [
        { name: 'tcp', protocol: 'TCP', port: TCP.service },
        { name: 'udp', protocol: 'UDP', port: UDP.service },
      ],
    },
  };
  const conditions = { ready: true, serving: true, terminating: false };
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace, name: 'echo-a', labels: { 'kubernetes.io/service-name': 'echo' } },
    addressType: 'IPv4',
    ports: [
      { name: 'tcp', protocol: 'TCP', port: TCP.endpoint },
      { name: 'udp', protocol: 'UDP', port: UDP.endpoint },
    ],
    endpoints: ENDPOINTS.map((ip) => ({ addresses: [ip], nodeName: 'node-0', conditions })),
  };
  return { apiVersion: 'v1', kind: 'List', items: [service, slice] };
}
