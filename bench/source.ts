/**
 * npm run bench -- source
 *
 * The API server as a source: 10,000 Services and 10,000 EndpointSlices of 10 endpoints listed in pages of 500 over HTTP, then
 * 1,000 watch events a second. The server is in this process, the source in one of its own, whose memory and CPU count.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { KubernetesSource } from '../src/kubernetes/KubernetesSource.js';
import { openApiServer } from '../src/kubernetes/openApiServer.js';
import { rawObjects, rawSlice, slice } from './objects.js';
import { table } from './parts/statistics.js';

const COUNT = 10_000;
const ENDPOINTS = 10;
const CHURN_SECONDS = 10;
const EVENTS_A_TICK = 20;
const TICK_MS = 20;

const [role, server] = process.argv.slice(2);
if (role === 'client' && server !== undefined) await client(server);
else await report();

async function client(master: string): Promise<void> {
  const transport = await openApiServer({ kubeconfig: '', master, userAgent: 'bench' }, {});
  if (!transport) throw new Error('no server');
  const log = { info: () => undefined, warn: (message: string) => process.stderr.write(`${message}\n`) };
  const source = new KubernetesSource({ transport, nodeName: 'node-1', serviceProxyName: '', log });
  let changes = 0;
  const started = performance.now();
  await new Promise<void>((resolve) => {
    const listener = {
      changes: (batch: readonly unknown[]) => {
        changes += batch.length;
      },
      complete: resolve,
      problems: () => undefined,
    };
    void source.start(listener);
  });
  const listMs = performance.now() - started;
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const listed = changes;
  process.stdout.write('listed\n');
  const cpu = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, CHURN_SECONDS * 1000));
  const { user, system } = process.cpuUsage(cpu);
  const share = (user + system) / 1e6 / CHURN_SECONDS;
  const result = {
    listMs,
    listed,
    peakMb: Number(peak) / 1024,
    eventsPerSecond: (changes - listed) / CHURN_SECONDS,
    share,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

async function report(): Promise<void> {
  const raw = rawObjects(COUNT, ENDPOINTS).map((object) => JSON.stringify(object));
  const lists: Record<string, readonly string[]> = {
    '/api/v1/services': raw.filter((_, i) => i % 2 === 0),
    '/apis/discovery.k8s.io/v1/endpointslices': raw.filter((_, i) => i % 2 === 1),
  };
  let watch: ServerResponse | undefined;
  const http = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://bench');
    const items = lists[url.pathname] ?? [];
    if (url.searchParams.has('sendInitialEvents')) {
      response.writeHead(422).end('{}');
      return;
    }
    if (url.searchParams.has('watch')) {
      response.writeHead(200).flushHeaders();
      if (url.pathname.endsWith('endpointslices')) watch = response;
      return;
    }
    const from = Number(url.searchParams.get('continue') ?? '0');
    const to = from + Number(url.searchParams.get('limit'));
    const next = to < items.length ? `,"continue":"${to}"` : '';
    response.end(`{"metadata":{"resourceVersion":"1"${next}},"items":[${items.slice(from, to).join(',')}]}`);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'client', address], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let version = 1;
  for await (const line of createInterface(child.stdout)) {
    if (line === 'listed') {
      const timer = setInterval(() => {
        for (let i = 0; i < EVENTS_A_TICK; i++) {
          version++;
          const object = rawSlice(slice(version % COUNT, ENDPOINTS, version)) as { metadata: object };
          const metadata = { ...object.metadata, resourceVersion: String(version) };
          watch?.write(`${JSON.stringify({ type: 'MODIFIED', object: { ...object, metadata } })}\n`);
        }
      }, TICK_MS);
      child.once('exit', () => clearInterval(timer));
      continue;
    }
    const r = JSON.parse(line) as Record<
      'listMs' | 'listed' | 'peakMb' | 'eventsPerSecond' | 'share',
      number
    >;
    const rows = [
      ['listed objects', r.listed],
      ['list, ms', r.listMs],
      ['peak resident, MB', r.peakMb],
      ['watch events a second', r.eventsPerSecond],
      ['share of a core at that', `${(r.share * 100).toFixed(0)} %`],
    ];
    process.stdout.write(table(['', `${COUNT} x ${ENDPOINTS}`], rows));
  }
  http.closeAllConnections();
  http.close();
}
