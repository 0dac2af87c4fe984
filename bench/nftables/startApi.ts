/**
 * npm run bench -- startApi [SIZES [ROUNDS]] [BIN/PENSTOCK...]        e.g. 2000x3,10000x10,50000x5 3
 *
 * The agent in mode nftables started until the first VIP answers, and until all are in force, with an API server: a process beside it
 * that gives recorded pages of 500 objects. Two of the Services have an endpoint that answers here: `default/kubernetes`, and the last of
 * all. Milliseconds since exec; the processor time of the agent beside.
 */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { rawService, rawSlice, service, slice } from '../objects.js';
import { inNamespace } from '../parts/inNamespace.js';
import { median, table } from '../parts/statistics.js';

const HOST = '192.0.2.1';
const API_PORT = 6443;
const APP_PORT = 8080;
const FIRST_VIP = '172.31.255.1';
const TRIES_EACH_MS = 5;
const PATIENCE_MS = 300_000;

interface Start {
  readonly firstVipMs: number;
  readonly allMs: number;
  readonly lastVipMs: number;
  readonly cpuMs: number;
  readonly peakMb: number;
}

const self = fileURLToPath(import.meta.url);
const [role = '2000x3,10000x10,50000x5', ...rest] = process.argv.slice(2);
if (role === 'serve') serve(Number(rest[0]), Number(rest[1]));
else if (role === 'measure') {
  const start = await measure(rest[0] ?? '', Number(rest[1]), Number(rest[2]));
  process.stdout.write(`${JSON.stringify(start)}\n`, () => process.exit(0));
} else await report(role, Number(rest[0] ?? 3), rest.slice(1));

/** Each path has its pages ready, as recorded answers. */
function serve(services: number, endpoints: number): void {
  const own = (n: number, name: string, namespace: string, vip?: string) => {
    const plain = service(n);
    const clusterIPs = vip === undefined ? plain.clusterIPs : { IPv4: vip as never };
    const here = slice(n, 1).endpoints.map((each) => ({ ...each, address: HOST as never }));
    return {
      service: rawService({ ...plain, name, namespace, clusterIPs }),
      slice: rawSlice({ ...slice(n, 1), name: `${name}-a`, namespace, serviceName: name, endpoints: here }),
    };
  };
  const last = own(services - 1, `service-${services - 1}`, 'bench');
  const api = own(services, 'kubernetes', 'default', FIRST_VIP);
  const numbers = Array.from({ length: services - 1 }, (_, n) => n);
  // As etcd has them: by namespace and name.
  const pagesOf = (objects: readonly object[]) => {
    const texts = objects.map((object) => JSON.stringify(object));
    const pages: Buffer[] = [];
    for (let from = 0; from < texts.length; from += 500) {
      const next = from + 500 < texts.length ? `,"continue":"${from + 500}"` : '';
      const items = texts.slice(from, from + 500).join(',');
      pages.push(Buffer.from(`{"metadata":{"resourceVersion":"1"${next}},"items":[${items}]}`));
    }
    return pages;
  };
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node-0' },
    spec: { podCIDRs: ['10.0.0.0/8'] },
    status: { addresses: [{ type: 'InternalIP', address: HOST }] },
  };
  const lists: Readonly<Record<string, readonly Buffer[]>> = {
    '/api/v1/services': pagesOf([...numbers.map((n) => rawService(service(n))), last.service, api.service]),
    '/apis/discovery.k8s.io/v1/endpointslices': pagesOf([
      ...numbers.map((n) => rawSlice(slice(n, endpoints))),
      last.slice,
      api.slice,
    ]),
    '/api/v1/nodes': pagesOf([node]),
  };
  /** Of one namespace, and of one name or Service where a selector says so. */
  const within = (url: URL): Buffer => {
    const [whole = '', namespace = ''] = /\/namespaces\/([^/]+)/.exec(url.pathname) ?? [];
    const isOfApi = namespace === 'default' && url.search.includes('kubernetes');
    const found = url.pathname.replace(whole, '').endsWith('/services') ? api.service : api.slice;
    const items = isOfApi ? [found] : [];
    return Buffer.from(JSON.stringify({ metadata: { resourceVersion: '1' }, items }));
  };
  const open = new Set<ServerResponse>();
  const http = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://bench');
    if (url.searchParams.has('sendInitialEvents')) response.writeHead(422).end('{}');
    else if (url.searchParams.has('watch')) {
      response.writeHead(200).flushHeaders();
      open.add(response);
    } else if (url.pathname.includes('/namespaces/')) response.end(within(url));
    else {
      const page = Number(url.searchParams.get('continue') ?? '0') / 500;
      const found = lists[url.pathname]?.[page];
      response.end(found ?? '{"metadata":{"resourceVersion":"1"},"items":[]}');
    }
  });
  createTcpServer((socket) => socket.end()).listen(APP_PORT, HOST);
  http.listen(API_PORT, HOST, () => process.stdout.write('ready\n'));
}

async function measure(program: string, services: number, endpoints: number): Promise<Start> {
  for (const words of ['link set lo up', `address add ${HOST}/32 dev lo`, 'route add default dev lo'])
    execFileSync('ip', words.split(' '));
  const server = spawn(process.execPath, [self, 'serve', String(services), String(endpoints)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => server.stdout.once('data', resolve));
  const config = join(tmpdir(), `penstock-start-api-${process.pid}.yaml`);
  writeFileSync(
    config,
    'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\nhostnameOverride: node-0\n' +
      'clusterCIDR: 10.0.0.0/8\nconntrack: {maxPerCore: 0, min: 0}\n',
  );
  const started = performance.now();
  const agent = spawn(program, ['run', '--config', config, '--master', `http://${HOST}:${API_PORT}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  const all = new Promise<number>((resolve, reject) => {
    agent.stdout.on('data', (chunk) => {
      text += chunk;
      if (/synced: /.test(text)) resolve(performance.now() - started);
    });
    agent.once('exit', () => reject(new Error(`the agent ended:\n${text}`)));
  });
  const answered = async (vip: string): Promise<number> => {
    while (performance.now() - started < PATIENCE_MS) {
      if (await connects(vip)) return performance.now() - started;
      await sleep(TRIES_EACH_MS);
    }
    throw new Error(`${vip} did not answer:\n${text}`);
  };
  const lastVip = service(services - 1).clusterIPs.IPv4 as string;
  const [allMs, firstVipMs, lastVipMs] = await Promise.all([all, answered(FIRST_VIP), answered(lastVip)]);
  const [, after = ''] = readFileSync(`/proc/${agent.pid}/stat`, 'utf8').split(') ');
  const [user = 0, system = 0] = after.split(' ').slice(11, 13).map(Number);
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))?.[1] ?? '0';
  agent.removeAllListeners('exit');
  agent.kill('SIGKILL');
  server.kill('SIGKILL');
  return { firstVipMs, allMs, lastVipMs, cpuMs: (user + system) * 10, peakMb: Number(peak) / 1024 };
}

function connects(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: 80, timeout: 50 });
    const end = (good: boolean) => {
      socket.destroy();
      resolve(good);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}

async function report(sizes: string, rounds: number, programs: readonly string[]): Promise<void> {
  const all =
    programs.length > 0 ? programs : [fileURLToPath(new URL('../../../bin/penstock', import.meta.url))];
  const rows: (string | number)[][] = [];
  for (const size of sizes.split(',')) {
    const [services = '', endpoints = ''] = size.split('x');
    const results = new Map(all.map((program) => [program, [] as Start[]]));
    for (let round = 0; round < rounds; round++)
      for (const [program, list] of results)
        list.push(JSON.parse(await inNamespace(self, ['measure', program, services, endpoints])) as Start);
    for (const [program, list] of results) {
      const of = (pick: (start: Start) => number) => median(list.map(pick));
      rows.push([
        `${size}${all.length > 1 ? `, ${program}` : ''}`,
        of(({ firstVipMs }) => firstVipMs),
        of(({ lastVipMs }) => lastVipMs),
        of(({ allMs }) => allMs),
        of(({ cpuMs }) => cpuMs),
        of(({ peakMb }) => peakMb),
      ]);
      process.stderr.write(`${rows.at(-1)?.join('  ')}\n`);
    }
  }
  const header = ['ms', 'first VIP', 'last VIP', 'all in force', 'processor', 'peak MB'];
  process.stdout.write(table(header, rows));
}
