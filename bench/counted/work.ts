/**
 * Fixed work of the pure code, for who counts instructions (scripts/count-instructions): in each part the same, in the same order, so
 * that two runs differ by nothing but the program. Reads the clock of the host (uv_uptime) before and after each part: the
 * counter makes a new account there. Prints the names of the parts.
 */
import { uptime } from 'node:os';
import { UNWEIGHTED } from '../../src/balancing/Balancing.js';
import { maglevOfNames } from '../../src/balancing/maglev.js';
import { ruleSettings } from '../../src/dataplane/iptables/IptablesOptions.js';
import { renderServicePort } from '../../src/dataplane/iptables/rules/renderServicePort.js';
import { Collected } from '../../src/dataplane/nftables/plan/Collected.js';
import { ServiceRecords } from '../../src/dataplane/userspace/encodeServices.js';
import { readProxyOptions } from '../../src/dataplane/userspace/proxyOptions.js';
import { nativeAddon } from '../../src/kernel/addon/nativeAddon.js';
import { parseObject } from '../../src/objects/read/parseObject.js';
import { RoutingTable } from '../../src/routing/RoutingTable.js';
import type { ServicePort } from '../../src/routing/ServicePort.js';
import { BENCH_OPTIONS, rawService, rawSlice, service, slice } from '../objects.js';

const SERVICES = 40;
const ENDPOINTS = 10;
const MAGLEV_ENTRIES = 509;
const PICKS = 2000;

const routing = new RoutingTable({
  nodeName: 'node-0',
  serviceProxyName: '',
  fallbackAddresses: {},
  fixedAddresses: {},
});
const numbers = Array.from({ length: SERVICES }, (_, n) => n);
const raw = numbers.flatMap((n) => [rawService(service(n)), rawSlice(slice(n, ENDPOINTS))]);
const names = numbers.map((n) => `10.0.0.${n}:8080`);

let generation = 0;
/** Every Service has another endpoint. */
function change(): void {
  generation++;
  for (const n of numbers) routing.apply([{ type: 'upsert', object: slice(n, ENDPOINTS, generation) }]);
  routing.commit();
}
for (const n of numbers) routing.apply([{ type: 'upsert', object: service(n) }]);
change();
const ports = [...routing.servicePorts('IPv4').values()];
const host = { addresses: [], randomFully: true, conntrackLiberal: false, accounting: false };
const settings = ruleSettings(BENCH_OPTIONS, 'IPv4', routing, host);

const engine = new (nativeAddon().ProxyEngine)({
  threads: 1,
  ipv6: 0,
  firstPort: 0,
  lastPort: 0,
  mark: 0,
  untranslated: 0,
  takeOverFrom: '',
});
const FIRST_ENDPOINT_CELL = 1 << 18;
function records(): Uint8Array {
  const written = new ServiceRecords();
  for (const [cell, each] of ports.entries()) {
    const port = each as ServicePort & { readonly protocol: 'TCP' };
    const { options } = readProxyOptions(
      { ...port, balancing: UNWEIGHTED['power-of-two'] },
      { udpIdleTimeout: 250, sourceAddress: 'auto', drainTimeout: undefined },
    );
    const { cluster } = port.endpoints;
    written.set({
      port,
      options,
      cell,
      cellOf: (one) => FIRST_ENDPOINT_CELL + cell * ENDPOINTS + cluster.indexOf(one),
    });
  }
  return written.bytes.slice();
}
const encoded = records();
const client = Uint8Array.of(10, 1, 2, 3);

const text = JSON.stringify(raw);
/** Nothing of ours: where it takes another number of instructions than is recorded, the machine counts otherwise, not our code. */
function languageAlone(): void {
  const seen = new Map<string, number>();
  const bytes = new Uint8Array(1 << 14);
  for (const [i, each] of (JSON.parse(text) as readonly object[]).entries()) {
    for (const word of JSON.stringify(each).split('"')) seen.set(word, (seen.get(word) ?? 0) + 1);
    bytes[i % bytes.length] = seen.size & 0xff;
  }
  const sorted = [...seen].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  bytes.set(new TextEncoder().encode(sorted.map(([word]) => word).join('')).subarray(0, bytes.length));
}

const PARTS: Readonly<Record<string, () => void>> = {
  'the language alone': languageAlone,
  'objects read': () => {
    for (const object of raw) parseObject(object);
  },
  'endpoints changed in the routing table': change,
  'elements of mode nftables': () => {
    const collected = new Collected();
    for (const port of ports) collected.add(port);
  },
  'rules of mode iptables': () => {
    for (const port of ports)
      for (const chain of renderServicePort(port, settings, 'full').own) String(chain.text);
  },
  'records for the proxy': () => {
    records();
  },
  'the proxy takes them': () => engine.update(encoded),
  'the proxy picks endpoints': () => {
    engine.picks(0, 0, 1, client, new Uint8Array(), PICKS);
  },
  'a table of Maglev': () => {
    maglevOfNames(names, MAGLEV_ENTRIES);
  },
};

// Once without being counted: functions are compiled when they are first called.
for (const part of Object.values(PARTS)) part();
for (const part of Object.values(PARTS)) {
  // When V8 collects garbage depends on the machine. With the young generation that the script asks for it does not within a part.
  globalThis.gc?.();
  // V8 sweeps a page when somebody needs its room: how many pages that are depends on what was loaded before.
  part();
  uptime();
  part();
  uptime();
}
process.stdout.write(`${JSON.stringify(Object.keys(PARTS))}\n`, () => process.exit(0));
