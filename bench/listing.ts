/**
 * npm run bench -- listing
 *
 * How long `nft list ruleset` takes with our table, and with the same Services in the shape that kube-proxy gives them: a
 * chain for each Service, a map within its rule, and elements of verdict maps that lead there. Each shape in a network
 * namespace of its own; loading kube-proxy's takes most of the time.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { filledTable, openDataplane } from './nftables/nftablesCore.js';
import { service, slice } from './objects.js';
import { inNamespace } from './parts/inNamespace.js';
import { median, table } from './parts/statistics.js';

const SIZES = [
  [1000, 5],
  [10_000, 10],
] as const;
const RUNS = 5;

interface Listing {
  readonly loadMs: number;
  readonly listMs: readonly number[];
  readonly lines: number;
}

const SHAPES: Record<string, (services: number, endpoints: number) => Promise<void>> = {
  penstock: async (services, endpoints) => {
    const dataplane = openDataplane();
    const routing = filledTable(services, endpoints);
    await dataplane.sync(routing, routing.commit());
    await dataplane.close();
  },
  'kube-proxy': async (services, endpoints) => {
    const folder = mkdtempSync(join(tmpdir(), 'penstock-listing-'));
    writeFileSync(join(folder, 'rules.nft'), kubeProxyShape(services, endpoints));
    execFileSync('nft', ['-f', join(folder, 'rules.nft')]);
    rmSync(folder, { recursive: true });
  },
};

const [shape, services, endpoints] = process.argv.slice(2);
if (shape !== undefined && SHAPES[shape]) {
  const start = performance.now();
  await SHAPES[shape](Number(services), Number(endpoints));
  const loadMs = performance.now() - start;
  const listMs: number[] = [];
  let lines = 0;
  for (let i = 0; i < RUNS; i++) {
    const begun = performance.now();
    const { stdout } = spawnSync('nft', ['list', 'ruleset'], { maxBuffer: 1 << 30, encoding: 'utf8' });
    listMs.push(performance.now() - begun);
    lines = stdout.split('\n').length;
  }
  process.stdout.write(`${JSON.stringify({ loadMs, listMs, lines } satisfies Listing)}\n`);
  process.exit(0);
}

const rows: (string | number)[][] = [];
for (const [n, e] of SIZES) {
  for (const name of Object.keys(SHAPES)) {
    const args = [name, String(n), String(e)];
    const result = JSON.parse(await inNamespace(fileURLToPath(import.meta.url), args)) as Listing;
    rows.push([
      `${name}, ${n} x ${e}`,
      result.loadMs,
      median(result.listMs),
      Math.max(...result.listMs),
      result.lines,
    ]);
  }
}
process.stdout.write(table(['', 'loaded in, ms', 'nft list ruleset, median ms', 'most', 'lines'], rows));

/** What kube-proxy 1.36 writes for cluster IPs without affinity: the parts that there are for each Service. */
function kubeProxyShape(count: number, each: number): string {
  const lines = [
    'add table ip kube-proxy',
    'add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }',
    'add set ip kube-proxy cluster-ips { type ipv4_addr; }',
    'add chain ip kube-proxy services',
    'add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority -100; }',
    'add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips',
    'add rule ip kube-proxy nat-prerouting jump services',
  ];
  for (let n = 0; n < count; n++) {
    const { clusterIPs } = service(n);
    const chain = `service-ABCDEFGH-bench/service-${n}/tcp/http`;
    const targets = slice(n, each).endpoints.map(({ address }, i) => `${i} : ${address} . 8080`);
    lines.push(
      `add chain ip kube-proxy ${chain}`,
      `add rule ip kube-proxy ${chain} meta l4proto tcp dnat ip addr . port to numgen random mod ${each} map { ${targets.join(', ')} }`,
      `add element ip kube-proxy service-ips { ${clusterIPs.IPv4} . tcp . 80 : goto ${chain} }`,
      `add element ip kube-proxy cluster-ips { ${clusterIPs.IPv4} }`,
    );
  }
  return `${lines.join('\n')}\n`;
}
