/**
 * The routing table alone, without a kernel: what the first commit costs, and what stays in memory for a service port and an
 * endpoint.
 *   table.js [SERVICES [ENDPOINTS [ROUNDS [DIST...]]]]   DIST: the folder dist of other builds, which take turns with this one
 */
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type ApiObject, objectName } from '../src/objects/ApiObject.js';
import { parseObject } from '../src/objects/read/parseObject.js';
import { RoutingTable } from '../src/routing/RoutingTable.js';
import { rawService, rawSlice, service, slice } from './objects.js';
import { median, table } from './parts/statistics.js';

const FLAGS = ['--max-semi-space-size=2', '--optimize-for-size'];
const OPTIONS = { nodeName: 'node-0', serviceProxyName: '', fallbackAddresses: {}, fixedAddresses: {} };
const self = fileURLToPath(import.meta.url);

const [role = '', ...rest] = process.argv.slice(2);
if (role === 'commit') await measureCommit(...numbers(rest), rest[2] ?? '');
else if (role === 'memory') measureMemory(...numbers(rest));
else compare();

function numbers([services = '10000', endpoints = '10']: readonly string[]): [number, number] {
  return [Number(services), Number(endpoints)];
}

/** Prints milliseconds of processor time: others may use the machine. */
async function measureCommit(services: number, endpoints: number, dist: string): Promise<void> {
  const load = <M>(path: string): Promise<M> => import(resolve(dist, path));
  const objects = await load<typeof import('./objects.js')>('bench/objects.js');
  const routing = await load<typeof import('../src/routing/RoutingTable.js')>('src/routing/RoutingTable.js');
  const filled = new routing.RoutingTable(OPTIONS);
  for (let n = 0; n < services; n++) {
    const made = [objects.service(n), objects.slice(n, endpoints)];
    filled.apply(made.map((object) => ({ type: 'upsert', object })));
  }
  const before = process.cpuUsage();
  filled.commit();
  const { user, system } = process.cpuUsage(before);
  console.log((user + system) / 1000);
}

/** Prints bytes of the heap: of the objects as a source keeps them, and of the table beside them. */
function measureMemory(services: number, endpoints: number): void {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const used = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const filled = new RoutingTable(OPTIONS);
  const before = used();
  const objects = new Map<string, ApiObject>();
  for (let n = 0; n < services; n++)
    for (const each of parsed(n, endpoints)) objects.set(objectName(each), each);
  const withObjects = used();
  for (const object of objects.values()) filled.apply([{ type: 'upsert', object }]);
  filled.commit();
  console.log(JSON.stringify({ objects: withObjects - before, table: used() - withObjects }));
  if (objects.size + filled.servicePorts('IPv4').size !== 3 * services) throw new Error('not all are served');
}

/** A Service and its slice as they come from the wire: with no text in common. */
function parsed(n: number, endpoints: number): readonly ApiObject[] {
  return [rawService(service(n)), rawSlice(slice(n, endpoints))].map((raw) => {
    const result = parseObject(JSON.parse(JSON.stringify(raw)));
    if (result.type !== 'object') throw new Error('an object of the bench is not taken');
    return result.object;
  });
}

function compare(): void {
  const [services = '10000', endpoints = '10', rounds = '5', ...others] = process.argv.slice(2);
  const run = (...args: readonly string[]) =>
    execFileSync(process.execPath, [...FLAGS, self, ...args], { encoding: 'utf8' });
  const dists = [...others.map((dist) => resolve(dist)), resolve(self, '../..')];
  const times = new Map(dists.map((dist) => [dist, [] as number[]]));
  for (let round = 0; round < Number(rounds); round++) {
    for (const dist of round % 2 === 0 ? dists : [...dists].reverse())
      times.get(dist)?.push(Number(run('commit', services, endpoints, dist)));
  }
  const rows = [...times].map(([dist, taken]) => [dist, Math.min(...taken), median(taken)]);
  console.log(
    table([`first commit of ${services} x ${endpoints}, ms of processor time`, 'least', 'median'], rows),
  );

  const bytes = (n: string, e: string): { objects: number; table: number } => JSON.parse(run('memory', n, e));
  const few = bytes(services, '2');
  const many = bytes(services, '22');
  const n = Number(services);
  const endpoint = (of: 'objects' | 'table') => (many[of] - few[of]) / (20 * n);
  const port = (of: 'objects' | 'table') => few[of] / n - 2 * endpoint(of);
  console.log(
    table(
      ['bytes in memory', 'objects', 'routing table'],
      [
        ['a service port', port('objects'), port('table')],
        ['an endpoint', endpoint('objects'), endpoint('table')],
      ],
    ),
  );
}
