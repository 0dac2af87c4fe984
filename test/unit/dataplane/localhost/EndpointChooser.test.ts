import fc from 'fast-check';
import t from 'tap';
import { EndpointChooser, isCandidate } from '../../../../src/dataplane/localhost/EndpointChooser.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { DEAD, endpoint } from '../../../support/builders.js';
import { nodePortRow } from './nodePorts.js';

const THREE = ['10.1.0.1', '10.1.0.2', '10.1.0.3'];
const FIRST = () => 0;

function order(chooser: EndpointChooser, row: ServicePort): string[] {
  return [...chooser.order(row)].map(({ address }) => address);
}

/** Takes a connection to the endpoint of that number. */
function take(chooser: EndpointChooser, row: ServicePort, index: number): void {
  const taken = row.endpoints.all[index];
  if (taken === undefined) throw new Error(`no endpoint ${index}`);
  chooser.stick(row, taken);
}

const CANDIDATES: readonly [name: string, row: ServicePort, addresses: readonly string[]][] = [
  ['all that are ready', nodePortRow([...THREE, endpoint('10.1.0.4', DEAD)]), THREE],
  ['none', nodePortRow([endpoint('10.1.0.4', DEAD)]), []],
  [
    'of other nodes too under external policy Local',
    nodePortRow(['10.1.0.1', endpoint('10.1.0.2', { nodeName: 'node1' })], {
      externalTrafficPolicy: 'Local',
    }),
    ['10.1.0.1', '10.1.0.2'],
  ],
  [
    'of other nodes too when both policies are Local',
    nodePortRow(['10.1.0.1', endpoint('10.1.0.2', { nodeName: 'node1' })], {
      externalTrafficPolicy: 'Local',
      internalTrafficPolicy: 'Local',
    }),
    ['10.1.0.1', '10.1.0.2'],
  ],
  [
    'without those of weight 0',
    nodePortRow(THREE, { options: { weights: '{"10.1.0.2": 0, "10.1.0.3": 5}' } }),
    ['10.1.0.1', '10.1.0.3'],
  ],
];

for (const [name, row, addresses] of CANDIDATES) {
  t.test(`candidates: ${name}`, async (t) => {
    t.strictSame(order(new EndpointChooser(Math.random, FIRST), row).sort(), addresses);
  });
}

t.test('isCandidate knows no weights: what has begun may go on', async (t) => {
  const row = nodePortRow([...THREE, endpoint('10.1.0.4', DEAD)], {
    options: { weights: '{"10.1.0.2": 0}' },
  });
  t.ok(isCandidate(row, '10.1.0.2:8080'));
  t.notOk(isCandidate(row, '10.1.0.4:8080'));
});

t.test('every endpoint once, whatever the dice say', async () => {
  const rows = [
    nodePortRow(THREE),
    nodePortRow(THREE, { options: { weights: '{"10.1.0.1": 7, "10.1.0.3": 3}' } }),
  ];
  const dice = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
    minLength: 3,
    maxLength: 3,
  });
  fc.assert(
    fc.property(fc.constantFrom(...rows), dice, (row, throws) => {
      let next = 0;
      const chooser = new EndpointChooser(() => throws[next++] as number, FIRST);
      return order(chooser, row).sort().join() === THREE.join();
    }),
  );
});

t.test('weights decide who is first', async (t) => {
  const row = nodePortRow(THREE, { options: { weights: '{"10.1.0.1": 7, "10.1.0.2": 2}' } });
  const firsts = new Map<string, number>();
  for (let i = 0; i < 10; i++) {
    const [first = ''] = order(new EndpointChooser(() => i / 10, FIRST), row);
    firsts.set(first, (firsts.get(first) ?? 0) + 1);
  }
  t.strictSame(Object.fromEntries(firsts), { '10.1.0.1': 7, '10.1.0.2': 2, '10.1.0.3': 1 });
});

t.test('affinity', async (t) => {
  let clock = 0;
  const chooser = new EndpointChooser(FIRST, () => clock);
  const row = nodePortRow(THREE, { affinitySeconds: 10 });
  take(chooser, row, 2);
  t.strictSame(order(chooser, row), ['10.1.0.3', '10.1.0.1', '10.1.0.2'], 'it is the first to be tried');

  clock = 9000;
  take(chooser, row, 2);
  clock = 18_999;
  t.equal(order(chooser, row)[0], '10.1.0.3', 'counted from the last use');
  clock = 19_000;
  t.equal(order(chooser, row)[0], '10.1.0.1', 'it has expired');

  take(chooser, row, 2);
  t.strictSame(order(chooser, nodePortRow(THREE.slice(0, 2), { affinitySeconds: 10 })), THREE.slice(0, 2));
  const others: readonly ServicePort[] = [
    nodePortRow(THREE, { affinitySeconds: 10, protocol: 'UDP' }),
    { ...row, key: 'shop/other/TCP' },
    { ...row, family: 'IPv6' },
    nodePortRow(THREE),
  ];
  for (const other of others)
    t.equal(order(chooser, other)[0], '10.1.0.1', `not that of ${other.family} ${other.key}`);
});

t.test('no affinity is remembered for a service port without', async (t) => {
  const chooser = new EndpointChooser(FIRST, FIRST);
  take(chooser, nodePortRow(THREE), 2);
  t.equal(order(chooser, nodePortRow(THREE, { affinitySeconds: 10 }))[0], '10.1.0.1');
});

t.test('many affinities', async (t) => {
  let clock = 0;
  const chooser = new EndpointChooser(FIRST, () => clock);
  const rows = Array.from({ length: 1100 }, (_, i) => ({
    ...nodePortRow(THREE, { affinitySeconds: 10 }),
    key: `shop/cart${i}:/TCP`,
  }));
  for (const row of rows) {
    take(chooser, row, 1);
    clock++;
  }
  t.ok(
    rows.every((row) => order(chooser, row)[0] === '10.1.0.2'),
    'a search for expired ones spares the others',
  );
});
