/** What ServiceRecords writes, as the engine reads it; and bytes that nobody wrote. */
import fc from 'fast-check';
import t from 'tap';
import { UNWEIGHTED } from '../../../../src/balancing/Balancing.js';
import { ServiceRecords } from '../../../../src/dataplane/userspace/encodeServices.js';
import { readProxyOptions } from '../../../../src/dataplane/userspace/proxyOptions.js';
import { Cells } from '../../../../src/kernel/addon/Cells.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { ip } from '../../../support/builders.js';
import {
  balanced,
  clusterOnly,
  openEngine,
  routedEndpoint,
  servicePort,
} from '../../../support/proxyEngine.js';

const engine = openEngine();
t.teardown(() => engine.close());
const cells = new Cells(engine.cells, () => 0);
const [FIRST, SECOND] = [cells.takeService() as number, cells.takeService() as number];
const ENDPOINT = cells.takeEndpoint() as number;
const CLIENT = Uint8Array.of(203, 0, 113, 9);
const NOBODY: readonly number[] = [];

type Proxied = ServicePort & { readonly protocol: 'TCP' | 'UDP' };

function add(records: ServiceRecords, port: Proxied, cell: number): void {
  const { options } = readProxyOptions(port, { udpIdleTimeout: 250, drainTimeout: undefined });
  const cellOf = (endpoint: (typeof port.endpoints.all)[number]) =>
    ENDPOINT + port.endpoints.all.indexOf(endpoint);
  records.set({ port, options, cell, cellOf });
}

function encoded(port: Proxied, cell: number): Uint8Array {
  const records = new ServiceRecords();
  add(records, port, cell);
  return records.bytes;
}

/** Indexes that the first list of a service port gives; empty when the engine does not know the service port. */
function picks(cell: number, list = 0): readonly number[] {
  return [...engine.picks(cell, list, 1, CLIENT, new Uint8Array(), 4)];
}

const THREE = clusterOnly(['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((address) => routedEndpoint(address)));
const inTurn = balanced(UNWEIGHTED['round-robin']);
const threeInTurn = servicePort({ endpoints: THREE, ...inTurn });
const full: Proxied = servicePort({
  endpoints: { ...THREE, local: THREE.all.slice(1, 2) },
  ...inTurn,
  nodePort: 30_001,
  externalIPs: [ip('192.0.2.1'), ip('10.96.0.10')],
  loadBalancerIPs: [ip('192.0.2.1'), ip('192.0.2.2')],
  affinitySeconds: 86_400,
  internalPolicy: 'Local',
  externalPolicy: 'Local',
});

t.test('the layout', async (t) => {
  const hex = Buffer.from(encoded(full, 0x01020304)).toString('hex');
  const address = (text: string) => text.padEnd(32, '0');
  const endpoint = (last: number) =>
    `${address(`0a00000${last}`)}901f${Buffer.from(Uint32Array.of(ENDPOINT + last - 1).buffer).toString('hex')}010000`;
  t.equal(
    hex,
    [
      '01 04030201 a9e047a8 06 04 01 ffffffff 00 0b', // set, cell, namespace shop, TCP, IPv4, round-robin, any number of entries, no PROXY protocol, addresses of clients where they are sure to be answered, external policy Local
      `ff ${address('')}`, // the range of pods is not known
      '005c2605 00000000 00000000', // affinity, idle, lifetime
      '04 fa000000 f4010000 e8030000 d0070000', // attempts
      '0400', // VIPs, each once, and the node port
      `00 ${address('0a60000a')} 5000`,
      `01 ${address('c0000201')} 5000`,
      `01 ${address('c0000202')} 5000`,
      `02 ${address('')} 3175`,
      `02 03000000 ${[1, 2, 3].map(endpoint).join('')}`,
      `01000000 ${endpoint(2)}`,
      '01 01 00', // lists for inside, outside, and for this node's own traffic to external VIPs
      '00000000', // while nobody serves, connections do not wait
    ]
      .join('')
      .replaceAll(' ', ''),
  );
});

t.test('the engine knows a service port until it is removed', async (t) => {
  const records = new ServiceRecords();
  t.ok(records.isEmpty);
  add(records, full, FIRST);
  add(records, servicePort({ protocol: 'UDP', endpoints: clusterOnly([]) }), SECOND);
  t.notOk(records.isEmpty);
  engine.update(records.bytes);
  t.strictSame(picks(FIRST), [0, 1, 2, 0]);
  t.strictSame(picks(FIRST, 1), [0, 0, 0, 0], 'the local ones');
  t.strictSame(picks(SECOND), new Array(4).fill(0xffffffff), 'it has none');
  const removal = new ServiceRecords();
  removal.remove(FIRST);
  engine.update(removal.bytes);
  t.strictSame(picks(FIRST), NOBODY);
  t.equal(picks(SECOND).length, 4);
  engine.update(new Uint8Array());
  t.equal(picks(SECOND).length, 4, 'an update without records changes nothing');
});

t.test('more than the first buffer holds', async (t) => {
  const many = Array.from({ length: 2000 }, (_, i) => routedEndpoint(`10.1.${i >> 8}.${i & 255}`));
  engine.update(encoded(servicePort({ endpoints: clusterOnly(many), ...inTurn }), FIRST));
  const picked = engine.picks(FIRST, 0, 1, CLIENT, new Uint8Array(), 2000);
  t.strictSame(
    [...picked],
    many.map((_, i) => i),
  );
});

const bytesOf = (record: Uint8Array) => fc.constant(Uint8Array.from(record));
/** Of one service port, and of one among others. */
const updates = fc
  .constantFrom(encoded(full, SECOND), encoded(threeInTurn, SECOND), encoded(servicePort(), SECOND))
  .chain(bytesOf);

/** True when the engine took it. A refusal is a system error EINVAL and nothing else. */
function isTaken(bytes: Uint8Array): boolean {
  try {
    engine.update(bytes);
    return true;
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code !== 'EINVAL' || syscall !== 'update') throw error;
    return false;
  }
}

t.test('part of an update is refused as a whole, wherever it ends', async (t) => {
  engine.update(encoded(threeInTurn, FIRST));
  const removal = new ServiceRecords();
  removal.remove(FIRST);
  removal.remove(SECOND);
  engine.update(encoded(threeInTurn, SECOND));
  const update = Buffer.concat([removal.bytes, encoded(full, SECOND)]);
  const ends = [removal.bytes.length / 2, removal.bytes.length];
  for (let length = 1; length < update.length; length++) {
    if (ends.includes(length)) continue;
    if (isTaken(update.subarray(0, length))) t.fail(`${length} bytes were taken`);
    if (picks(FIRST).join() !== '0,1,2,0' || picks(SECOND).join() !== '0,1,2,0')
      t.fail(`after ${length} bytes`);
  }
  t.ok(isTaken(update));
  t.strictSame(picks(FIRST), NOBODY);
});

t.test('random bytes are refused and change nothing', async (t) => {
  engine.update(encoded(threeInTurn, FIRST));
  let refused = 0;
  // Not those that are a removal by chance.
  const noise = fc.uint8Array({ minLength: 1, maxLength: 300 }).filter(([record]) => record !== 2);
  const likeOne = noise.map((bytes) =>
    Uint8Array.of(1, SECOND, 0, 0, 0, 6, 4, 1, 255, 255, 255, 255, 0, 0, ...bytes),
  );
  fc.assert(
    fc.property(fc.oneof(noise, likeOne), (bytes) => {
      if (!isTaken(bytes)) refused++;
      return picks(FIRST).join() === '0,1,2,0';
    }),
    { numRuns: 2000 },
  );
  t.ok(refused > 1900, `${refused} of 2000 were refused`);
});

t.test('flipped bits never crash; what is refused changes nothing', async (t) => {
  engine.update(encoded(threeInTurn, FIRST));
  let refused = 0;
  const flips = fc.array(fc.record({ at: fc.nat(), bit: fc.nat(7) }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(updates, flips, (original, changes) => {
      engine.update(encoded(threeInTurn, SECOND));
      const bytes = Uint8Array.from(original);
      for (const { at, bit } of changes) {
        // The cell stays, so that one that is taken replaces only this service port.
        const place = at % (bytes.length - 5);
        bytes[place < 1 ? 0 : place + 5] = (bytes[place < 1 ? 0 : place + 5] ?? 0) ^ (1 << bit);
      }
      const taken = isTaken(bytes);
      if (!taken) refused++;
      const others = picks(FIRST).join() === '0,1,2,0';
      return others && (taken || picks(SECOND).join() === '0,1,2,0');
    }),
    { numRuns: 2000 },
  );
  t.ok(refused > 200, `${refused} of 2000 were refused`);
});
