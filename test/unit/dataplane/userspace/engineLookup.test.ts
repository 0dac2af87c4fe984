/** Which service port the engine finds at an address, after any history of updates. */
import fc from 'fast-check';
import t from 'tap';
import { ServiceRecords } from '../../../../src/dataplane/userspace/encodeServices.js';
import { readProxyOptions } from '../../../../src/dataplane/userspace/proxyOptions.js';
import type { NativeEngine } from '../../../../src/kernel/addon/NativeEngine.js';
import { type IpAddress, ipToBytes } from '../../../../src/net/ip.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { ip } from '../../../support/builders.js';
import { clusterOnly, openEngine, routedEndpoint, servicePort } from '../../../support/proxyEngine.js';

const PROTOCOLS = { TCP: 6, UDP: 17 } as const;
const DEFAULTS = { udpIdleTimeout: 250, sourceAddress: 'auto', drainTimeout: undefined } as const;
const VIPS = {
  IPv4: ['10.96.0.1', '10.96.0.2', '192.0.2.1'],
  IPv6: ['fd00:96::1', 'fd00:96::2', '2001:db8::1'],
};
const PORTS = [80, 443];
const NODE_PORTS = [0, 30080, 30443];
const ELSEWHERE = { IPv4: '203.0.113.9', IPv6: '2001:db8:ffff::9' };

type Family = keyof typeof VIPS;
type Port = ServicePort & { readonly protocol: 'TCP' | 'UDP' };

function port(family: Family, protocol: 'TCP' | 'UDP', fields: Partial<ServicePort>): Port {
  const endpoints = clusterOnly([routedEndpoint(family === 'IPv4' ? '10.0.0.1' : 'fd00::1')]);
  return servicePort({ ...fields, family, protocol, endpoints });
}

const ports: fc.Arbitrary<Port> = fc
  .record({
    family: fc.constantFrom<Family>('IPv4', 'IPv6'),
    protocol: fc.constantFrom<'TCP' | 'UDP'>('TCP', 'UDP'),
    vip: fc.nat(2),
    external: fc.uniqueArray(fc.nat(2), { maxLength: 3 }),
    port: fc.constantFrom(...PORTS),
    nodePort: fc.constantFrom(...NODE_PORTS),
  })
  .map(({ family, protocol, vip, external, ...rest }) => {
    const addressOf = (n: number) => ip(VIPS[family][n] ?? '');
    return port(family, protocol, {
      ...rest,
      clusterIP: addressOf(vip),
      externalIPs: external.map(addressOf),
    });
  });

/** Cells are far apart, so that the way to some is longer than to others. */
const cells = fc.constantFrom(0, 1, 63, 64, 65, 4096, 100_000);
const updates = fc.array(
  fc.array(fc.record({ cell: cells, port: fc.option(ports, { nil: undefined }) }), { maxLength: 4 }),
  { maxLength: 12 },
);

function put(records: ServiceRecords, cell: number, port: Port): void {
  records.set({ port, options: readProxyOptions(port, DEFAULTS).options, cell, cellOf: () => 200_000 });
}

/** The plainest way: a VIP comes before a node port, and of two that claim the same the lower cell wins. */
function expected(
  known: ReadonlyMap<number, Port>,
  family: Family,
  protocol: string,
  address: IpAddress,
  at: number,
) {
  const cells = [...known].filter(([, each]) => each.family === family && each.protocol === protocol);
  const owners = (claims: (each: Port) => boolean) =>
    cells.filter(([, each]) => claims(each)).map(([cell]) => cell);
  const byVip = owners((each) => each.port === at && [each.clusterIP, ...each.externalIPs].includes(address));
  const byNodePort = owners((each) => each.nodePort === at);
  return byVip.length > 0 ? Math.min(...byVip) : byNodePort.length > 0 ? Math.min(...byNodePort) : -1;
}

function everythingAsExpected(engine: NativeEngine, known: ReadonlyMap<number, Port>): boolean {
  for (const family of ['IPv4', 'IPv6'] as const) {
    for (const protocol of ['TCP', 'UDP'] as const) {
      for (const text of [...VIPS[family], ELSEWHERE[family]]) {
        for (const at of [...PORTS, ...NODE_PORTS]) {
          const address = ip(text);
          const found = engine.find(PROTOCOLS[protocol], family === 'IPv4' ? 4 : 6, ipToBytes(address), at);
          if (at !== 0 && found !== expected(known, family, protocol, address, at)) return false;
        }
      }
    }
  }
  return true;
}

t.test('what is found follows from what is known, whatever was known before', async () => {
  fc.assert(
    fc.property(updates, (history) => {
      const engine = openEngine();
      const known = new Map<number, Port>();
      try {
        for (const update of history) {
          const records = new ServiceRecords();
          for (const { cell, port } of update) {
            if (port === undefined) {
              records.remove(cell);
              known.delete(cell);
            } else {
              put(records, cell, port);
              known.set(cell, port);
            }
          }
          engine.update(records.bytes);
          if (!everythingAsExpected(engine, known)) return false;
        }
        return true;
      } finally {
        engine.close();
      }
    }),
    { numRuns: 60 },
  );
});

t.test('an update that is cut off changes nothing', async (t) => {
  const engine = openEngine();
  t.teardown(() => engine.close());
  const records = new ServiceRecords();
  put(records, 5, port('IPv4', 'TCP', { clusterIP: ip('10.96.0.1') }));
  engine.update(records.bytes);
  const next = new ServiceRecords();
  next.remove(5);
  put(next, 6, port('IPv4', 'TCP', { clusterIP: ip('10.96.0.2') }));
  for (let length = 6; length < next.bytes.length; length++) {
    t.throws(() => engine.update(next.bytes.subarray(0, length)), { code: 'EINVAL' });
    t.equal(engine.find(6, 4, ipToBytes(ip('10.96.0.1')), 80), 5);
    t.equal(engine.find(6, 4, ipToBytes(ip('10.96.0.2')), 80), -1);
  }
  engine.update(next.bytes);
  t.equal(engine.find(6, 4, ipToBytes(ip('10.96.0.1')), 80), -1);
  t.equal(engine.find(6, 4, ipToBytes(ip('10.96.0.2')), 80), 6);
});

t.test('many service ports come and go', async (t) => {
  const engine = openEngine();
  t.teardown(() => engine.close());
  const count = 20_000;
  const address = (n: number) => ip(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
  const all = new ServiceRecords();
  for (let n = 0; n < count; n++)
    put(all, n, port('IPv4', 'TCP', { clusterIP: address(n + 1), nodePort: 30_000 + n }));
  engine.update(all.bytes);
  const found = (n: number) => engine.find(6, 4, ipToBytes(address(n + 1)), 80);
  const foundByPort = (n: number) => engine.find(6, 4, ipToBytes(ip('203.0.113.9')), 30_000 + n);
  const numbers = Array.from({ length: count }, (_, n) => n);
  t.ok(numbers.every((n) => found(n) === n && foundByPort(n) === n));
  for (let n = 0; n < count; n += 2) {
    const gone = new ServiceRecords();
    gone.remove(n);
    engine.update(gone.bytes);
  }
  t.ok(
    numbers.every((n) => found(n) === (n % 2 === 0 ? -1 : n) && foundByPort(n) === (n % 2 === 0 ? -1 : n)),
  );
});
