/**
 * npm run bench -- listingUnderChurn [SERVICESxENDPOINTS [RATES]]        e.g. 10000x10 0,10,50,200
 *
 * How `nft list ruleset` ends while Services change all the time: nft begins again whenever the kernel says that the rule set
 * changed while it was listed. The changes are of one endpoint, a quarter of them Services that come or go, written as the agent
 * writes them, at most one transaction in 10 ms.
 */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { service, servicePortOf, slice } from '../objects.js';
import { inNamespace } from '../parts/inNamespace.js';
import { median, quantile, table } from '../parts/statistics.js';
import { filledTable, openDataplane } from './nftablesCore.js';
import { TimedSyncs } from './TimedSyncs.js';

const RUNS = 3;
/** The whole, and without the elements. */
const COMMANDS = ['nft list ruleset', 'nft -t list ruleset'] as const;
/** A listing that takes longer counts as not ended. */
const PATIENCE_MS = 30_000;

interface Listing {
  readonly command: string;
  readonly ms: number;
  readonly ended: boolean;
  readonly cpuMs: number;
}

interface Result {
  readonly listings: readonly Listing[];
  readonly latencyMs: readonly number[];
  readonly changes: number;
}

if (process.argv[2] === 'measure') {
  const [services, endpoints, rate] = process.argv.slice(3).map(Number);
  const result = await measure(services ?? 0, endpoints ?? 0, rate ?? 0);
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
} else {
  await report(process.argv[2] ?? '10000x10', process.argv[3] ?? '0,10,50,200');
}

async function measure(services: number, endpoints: number, rate: number): Promise<Result> {
  const dataplane = openDataplane();
  const routing = filledTable(services, endpoints);
  await dataplane.sync(routing, routing.commit());
  const syncs = new TimedSyncs(dataplane, routing);
  /** Returns whose. */
  const change = (i: number): number => {
    const n = (i * 7919) % services;
    const added = services + 1 + (i >> 3);
    if (i % 8 === 3) {
      routing.apply([
        { type: 'upsert', object: service(added) },
        { type: 'upsert', object: slice(added, endpoints) },
      ]);
      return added;
    }
    if (i % 8 === 7) {
      routing.apply([{ type: 'delete', ref: service(added) }]);
      return added;
    }
    routing.apply([{ type: 'upsert', object: slice(n, endpoints - (i & 1), i, endpoints) }]);
    return n;
  };
  let made = 0;
  let isOver = false;
  const started = performance.now();
  const changing = (async () => {
    while (!isOver) {
      const due = Math.floor(((performance.now() - started) / 1000) * rate);
      for (; made < due; made++) {
        syncs.changed(servicePortOf(change(made)));
      }
      await sleep(2);
    }
  })();
  await sleep(500);
  const listings: Listing[] = [];
  for (const command of COMMANDS)
    for (let run = 0; run < RUNS; run++) listings.push({ command, ...(await list(command)) });
  isOver = true;
  await changing;
  await sleep(100);
  await syncs.stop();
  await dataplane.close();
  return { listings, latencyMs: syncs.latencyMs, changes: made };
}

function list(command: string): Promise<Omit<Listing, 'command'>> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const child = spawn('bash', ['-c', `TIMEFORMAT="%U %S"; time ${command} > /dev/null`], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    let text = '';
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    const timer = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGTERM'), PATIENCE_MS);
    child.on('error', reject);
    child.on('close', (status) => {
      clearTimeout(timer);
      const [user = 0, system = 0] = text.trim().split(' ').map(Number);
      resolve({ ms: performance.now() - begun, ended: status === 0, cpuMs: (user + system) * 1000 });
    });
  });
}

async function report(size: string, rates: string): Promise<void> {
  const [services = '', endpoints = ''] = size.split('x');
  const rows: (string | number)[][] = [];
  for (const rate of rates.split(',')) {
    const args = ['measure', services, endpoints, rate];
    const result = JSON.parse(await inNamespace(fileURLToPath(import.meta.url), args)) as Result;
    for (const command of COMMANDS) {
      const listings = result.listings.filter((listing) => listing.command === command);
      const times = listings.map(({ ms }) => ms);
      rows.push([
        `${size}, ${rate} changes a second, ${command}`,
        `${listings.filter(({ ended }) => ended).length} of ${listings.length}`,
        median(times),
        Math.max(...times),
        median(listings.map(({ cpuMs }) => cpuMs)),
        `${median(result.latencyMs).toFixed(1)} / ${quantile(result.latencyMs, 0.99).toFixed(1)}`,
      ]);
      process.stderr.write(`${rows.at(-1)?.join('  ')}\n`);
    }
  }
  const header = ['', 'ended', 'median ms', 'most ms', 'CPU ms', 'a change in force p50 / p99, ms'];
  process.stdout.write(table(header, rows));
}
