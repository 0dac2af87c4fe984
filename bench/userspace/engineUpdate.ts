/**
 * npm run bench -- engineUpdate: what one change costs the engine of mode userspace, by the number of service ports it has.
 * No packet is sent.
 */
import { UNWEIGHTED } from '../../src/balancing/Balancing.js';
import { ServiceRecords } from '../../src/dataplane/userspace/encodeServices.js';
import { readProxyOptions } from '../../src/dataplane/userspace/proxyOptions.js';
import type { NativeEngine } from '../../src/kernel/addon/NativeEngine.js';
import { nativeAddon } from '../../src/kernel/addon/nativeAddon.js';
import { type IpAddress, joinHostPort } from '../../src/net/ip.js';
import type { Endpoint, ServicePort } from '../../src/routing/ServicePort.js';
import { median, quantile, table } from '../parts/statistics.js';

const SIZES = [10, 1_000, 10_000, 50_000, 100_000];
const ENDPOINTS = 5;
const CHANGES = 1_000;
const FIRST_ENDPOINT_CELL = 1 << 18;

const address = (prefix: number, n: number) =>
  `${prefix}.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}` as IpAddress;

function endpoint(n: number): Endpoint {
  const pod = address(11, n);
  return {
    address: pod,
    port: 8080,
    target: joinHostPort(pod, 8080),
    local: false,
    mayBeHere: false,
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
  };
}

/** Adds service port `n`; `version` tells its endpoints from those of other versions. */
function add(records: ServiceRecords, n: number, version: number): void {
  const all = Array.from({ length: ENDPOINTS }, (_, i) =>
    endpoint(n * ENDPOINTS + i + (i === 0 ? version : 0)),
  );
  const port: ServicePort & { readonly protocol: 'TCP' } = {
    key: `a/s${n}/TCP`,
    name: `a/s${n}`,
    family: 'IPv4',
    namespace: 'a',
    service: `s${n}`,
    portName: '',
    protocol: 'TCP',
    clusterIP: address(10, n + 1),
    port: 80,
    nodePort: 0,
    externalIPs: [],
    loadBalancerIPs: [],
    sourceRanges: [],
    nodeInSourceRanges: false,
    internalPolicy: 'Cluster',
    externalPolicy: 'Cluster',
    affinitySeconds: undefined,
    healthCheckNodePort: 0,
    options: {},
    balancing: UNWEIGHTED['power-of-two'],
    endpoints: { all, cluster: all, local: [], reachable: all, any: true },
  };
  const options = readProxyOptions(port, {
    udpIdleTimeout: 250,
    sourceAddress: 'auto',
    drainTimeout: undefined,
  }).options;
  const cellOf = (each: Endpoint) => FIRST_ENDPOINT_CELL + n * ENDPOINTS + all.indexOf(each);
  records.set({ port, options, cell: n, cellOf });
}

/** Microseconds that the engine takes for what `fill` adds. */
function measure(engine: NativeEngine, fill: (records: ServiceRecords) => void): number {
  const records = new ServiceRecords();
  fill(records);
  const start = process.hrtime.bigint();
  engine.update(records.bytes);
  return Number(process.hrtime.bigint() - start) / 1000;
}

const describe = (values: readonly number[]) =>
  `${median(values).toFixed(1)} / ${quantile(values, 0.99).toFixed(1)}`;

const rows: (readonly (string | number)[])[] = [];
for (const size of SIZES) {
  const engine = new (nativeAddon().ProxyEngine)({
    threads: 2,
    ipv6: 0,
    firstPort: 0,
    lastPort: 0,
    mark: 0,
    untranslated: 0,
    takeOverFrom: '',
  });
  const first = measure(engine, (records) => {
    for (let n = 0; n < size; n++) add(records, n, 0);
  });
  const replaced: number[] = [];
  const moved: number[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const n = (i * 7919) % size;
    replaced.push(measure(engine, (records) => add(records, n, i + 1)));
    moved.push(measure(engine, (records) => records.remove(n)));
    moved.push(measure(engine, (records) => add(records, n, 0)));
  }
  engine.close();
  rows.push([String(size), first / 1000, describe(replaced), describe(moved)]);
}
console.log(
  table(
    [
      `service ports x ${ENDPOINTS}`,
      'all at once, ms',
      'endpoint replaced, p50 / p99, µs',
      'gone and back, p50 / p99, µs',
    ],
    rows,
  ),
);
