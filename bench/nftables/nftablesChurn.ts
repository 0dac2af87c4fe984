/** A thousand changes a second, each of one endpoint, at random times: how late is each in the kernel, at what cost. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from '../../src/objects/Service.js';
import { servicePortOf, slice } from '../objects.js';
import { median, quantile } from '../parts/statistics.js';
import { filledTable, openDataplane } from './nftablesCore.js';
import { TimedSyncs } from './TimedSyncs.js';

const CHANGES_PER_SECOND = 1000;
const SECONDS = 30;

export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

export interface ChurnResult {
  readonly changes: number;
  /** From the change in the routing table to the end of the commit that holds it. */
  readonly latencyMs: Latency;
  /** The same of those that Pace.isApart names. */
  readonly apartMs: Latency;
  /** Of one core, while it lasted. */
  readonly cpuShare: number;
  readonly syncs: number;
  readonly rssMb: number;
}

export interface Pace {
  readonly services: number;
  readonly endpoints: number;
  readonly changesPerSecond: number;
  readonly seconds: number;
  /** What each Service is; undefined: a plain one. */
  readonly service?: (n: number) => Service;
  /** Services whose changes are counted apart, not with the others. */
  readonly isApart?: (n: number) => boolean;
}

export function measureChurn(services: number, endpoints: number): Promise<ChurnResult> {
  return measurePaced({
    services,
    endpoints,
    changesPerSecond: CHANGES_PER_SECOND,
    seconds: SECONDS,
  });
}

export async function measurePaced(pace: Pace): Promise<ChurnResult> {
  const { services, endpoints, changesPerSecond, seconds, service, isApart = () => false } = pace;
  const dataplane = openDataplane();
  const table = filledTable(services, endpoints);
  if (service) for (let n = 0; n < services; n++) table.apply([{ type: 'upsert', object: service(n) }]);
  await dataplane.sync(table, table.commit());
  const syncs = new TimedSyncs(dataplane, table);
  await sleep(1000);
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  let made = 0;
  while (made < changesPerSecond * seconds) {
    const due = Math.floor(((performance.now() - start) / 1000) * changesPerSecond);
    for (; made < due; made++) {
      const n = (made * 7919) % services;
      // Half of the changes replace an endpoint, the others take one away or bring it back.
      const count = made % 4 === 1 ? endpoints - 1 : endpoints;
      table.apply([{ type: 'upsert', object: slice(n, count, made, endpoints) }]);
      syncs.changed(servicePortOf(n));
    }
    await sleep(1);
  }
  await sleep(500);
  const { user, system } = process.cpuUsage(cpuBefore);
  const elapsedMs = performance.now() - start;
  await syncs.stop();
  await dataplane.close();
  const rssMb = process.memoryUsage.rss() / 1e6;
  const apart = new Set<string>();
  for (let n = 0; n < services; n++) if (isApart(n)) apart.add(servicePortOf(n));
  const of = (counted: 'apart' | 'others') =>
    latencyOf(
      syncs.latencies.filter(({ key }) => apart.has(key) === (counted === 'apart')).map(({ ms }) => ms),
    );
  return {
    changes: syncs.latencies.length,
    latencyMs: of('others'),
    apartMs: of('apart'),
    cpuShare: (user + system) / 1000 / elapsedMs,
    syncs: syncs.syncs,
    rssMb,
  };
}

function latencyOf(milliseconds: readonly number[]): Latency {
  const most = milliseconds.reduce((a, b) => Math.max(a, b), 0);
  return { p50: median(milliseconds), p99: quantile(milliseconds, 0.99), most };
}
