/** The engine of mode userspace picks what the reference picks. */
import fc from 'fast-check';
import t from 'tap';
import { ALGORITHMS, type Algorithm, type Weights } from '../../../src/balancing/Balancing.js';
import { maglev } from '../../../src/balancing/maglev.js';
import type { Moment } from '../../../src/balancing/pick/Moment.js';
import { pickOf } from '../../../src/balancing/pick/pick.js';
import { Sfc32 } from '../../../src/balancing/pick/Sfc32.js';
import { ServiceRecords } from '../../../src/dataplane/userspace/encodeServices.js';
import { readProxyOptions } from '../../../src/dataplane/userspace/proxyOptions.js';
import { Cells } from '../../../src/kernel/addon/Cells.js';
import { bytesToIp, type IpAddress, type IpFamily, ipToBytes } from '../../../src/net/ip.js';
import type { Endpoint } from '../../../src/routing/ServicePort.js';
import { ip } from '../../support/builders.js';
import { balanced, clusterOnly, openEngine, routedEndpoint, servicePort } from '../../support/proxyEngine.js';
import { candidates, tally, weigh } from './endpoints.js';

const engine = openEngine();
t.teardown(() => engine.close());

const MOST = 60;
const AS_MANY_AS_IT_WANTS = 65_521;
const cells = new Cells(engine.cells, () => 0);
const words = new BigUint64Array(engine.cells);
const SERVICE_CELL = cells.takeService() as number;
const CELLS = Array.from({ length: 5000 }, () => cells.takeEndpoint() as number);
/** native/service/cells.h: eight words for each, the second is `active`. */
const activeWord = (endpoint: number) => (CELLS[endpoint] as number) * 8 + 1;

/** Of one list of endpoints; connections come one after the other and do not stay. */
interface Situation extends Pick<Moment, 'eligible' | 'loads' | 'client'> {
  readonly endpoints: readonly Endpoint[];
  readonly weights: Weights;
  readonly mostEntries: number;
  readonly seed: number;
}

function tell(
  algorithm: Algorithm,
  endpoints: readonly Endpoint[],
  weights: Weights,
  mostEntries = AS_MANY_AS_IT_WANTS,
): void {
  const port = servicePort({
    endpoints: clusterOnly(endpoints),
    ...balanced({ algorithm, weights, mostEntries }),
  });
  const { options } = readProxyOptions(port, { udpIdleTimeout: 250, drainTimeout: undefined });
  const cellOf = (endpoint: Endpoint) => CELLS[endpoints.indexOf(endpoint)] as number;
  const records = new ServiceRecords();
  records.set({ port, options, cell: SERVICE_CELL, cellOf });
  engine.update(records.bytes);
}

function ofEngine(algorithm: Algorithm, situation: Situation, count: number): readonly number[] {
  const { endpoints, weights, mostEntries, eligible, loads, client, seed } = situation;
  tell(algorithm, endpoints, weights, mostEntries);
  for (const [i, load] of loads.entries()) words[activeWord(i)] = BigInt(load);
  const mask = Uint8Array.from(eligible, Number);
  return [...engine.picks(SERVICE_CELL, 0, seed, ipToBytes(client), mask, count)];
}

function ofReference(algorithm: Algorithm, situation: Situation, count: number): readonly number[] {
  const { endpoints, weights, mostEntries, eligible, loads, client, seed } = situation;
  const pick = pickOf({ algorithm, weights, mostEntries }, endpoints);
  const random = new Sfc32(seed);
  return Array.from(
    { length: count },
    (_, turn) => pick({ eligible, loads, client, turn, random }) ?? 0xffffffff,
  );
}

const addresses: Readonly<Record<IpFamily, fc.Arbitrary<IpAddress>>> = {
  IPv4: fc.uint8Array({ minLength: 4, maxLength: 4 }).map(bytesToIp),
  // Many zeros: how an address is written is part of the hash.
  IPv6: fc
    .array(fc.oneof(fc.constant(0), fc.nat(255)), { minLength: 14, maxLength: 14 })
    .map((rest) => bytesToIp(Uint8Array.of(0xfd, 0, ...rest))),
};

const situations: fc.Arbitrary<Situation> = fc
  .record({
    family: fc.constantFrom<IpFamily>('IPv4', 'IPv6'),
    size: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: MOST })),
    heaviest: fc.constantFrom(0, 1, 3, 100),
    busiest: fc.constantFrom(0, 2, 1_000_000),
    rarity: fc.constantFrom(0, 0.3, 0.9),
  })
  .chain(({ family, size, heaviest, busiest, rarity }) => {
    const each = { minLength: size, maxLength: size };
    return fc.record({
      addresses: fc.uniqueArray(addresses[family], each),
      weights: fc.array(fc.option(fc.nat(heaviest), { freq: 4 }), each),
      eligible: fc.array(
        fc.nat(99).map((n) => n >= rarity * 100),
        each,
      ),
      loads: fc.array(fc.nat(busiest), each),
      seed: fc.nat(0xffffffff),
      mostEntries: fc.constantFrom(AS_MANY_AS_IT_WANTS, 16_381, 4093, 1021, 251, 61, 0),
      client: addresses[family],
    });
  })
  .map(({ addresses: list, weights, ...rest }) => ({
    ...rest,
    endpoints: list.map((address) => routedEndpoint(address)),
    weights: new Map(
      list.flatMap((address, i) => {
        const weight = weights[i];
        return typeof weight === 'number' ? [[address, weight] as const] : [];
      }),
    ),
  }));

t.test('the generator is sfc32', async (t) => {
  // Printed by the class in native/service/pick.h.
  const known: readonly [seed: number, drawn: readonly number[]][] = [
    [1, [3739678614, 2725338478, 3923878172, 2212199553]],
    [0xffffffff, [2903837132, 2757460323, 2032916747, 4182873111]],
  ];
  for (const [seed, drawn] of known) {
    const random = new Sfc32(seed);
    t.strictSame(
      drawn.map(() => random.next()),
      drawn,
    );
  }
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.integer({ min: 1, max: 0xffffffff }), (seed, end) => {
      const [own, twin] = [new Sfc32(seed), new Sfc32(seed)];
      const expected = (BigInt(own.next()) * BigInt(end)) >> 32n;
      return twin.below(end) === Number(expected);
    }),
  );
});

for (const algorithm of ALGORITHMS) {
  t.test(`${algorithm}: the same sequence as the reference`, async (t) => {
    const seen = new Set<number>();
    fc.assert(
      fc.property(situations, (situation) => {
        const expected = ofReference(algorithm, situation, 30);
        for (const index of expected) seen.add(index);
        return ofEngine(algorithm, situation, 30).join() === expected.join();
      }),
      { numRuns: 150 },
    );
    t.ok(seen.size > 10, `${seen.size} different answers`);
  });

  t.test(`${algorithm}: only who may is picked, and somebody is while anybody may`, async () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const { eligible } = situation;
        const may = eligible.includes(true);
        return ofReference(algorithm, situation, 10).every((index) =>
          may ? eligible[index] === true : index === 0xffffffff,
        );
      }),
      { numRuns: 100 },
    );
  });

  t.test(`${algorithm}: 300 endpoints that differ, in few entries and in many`, async (t) => {
    const endpoints = candidates(300).map(({ address }) => routedEndpoint(address));
    const weights = weigh(
      endpoints,
      endpoints.map((_, i) => (i * 7) % 101),
    );
    const eligible = endpoints.map((_, i) => i % 5 !== 0);
    const loads = endpoints.map((_, i) => i % 11);
    for (const mostEntries of [AS_MANY_AS_IT_WANTS, 1021, 251]) {
      const situation = {
        endpoints,
        weights,
        mostEntries,
        eligible,
        loads,
        client: ip('203.0.113.9'),
        seed: 3,
      };
      t.strictSame(ofEngine(algorithm, situation, 2000), ofReference(algorithm, situation, 2000));
    }
  });

  t.test(`${algorithm}: 4200 endpoints`, async (t) => {
    const endpoints = candidates(4200).map(({ address }) => routedEndpoint(address));
    const situation: Situation = {
      endpoints,
      weights: weigh(endpoints, [100, 0, 3]),
      mostEntries: AS_MANY_AS_IT_WANTS,
      eligible: endpoints.map(() => true),
      loads: endpoints.map((_, i) => 5 + (i % 7)),
      client: ip('203.0.113.9'),
      seed: 7,
    };
    t.strictSame(ofEngine(algorithm, situation, 20), ofReference(algorithm, situation, 20));
  });
}

t.test('an empty list has nobody, and no mask means that all may', async (t) => {
  for (const algorithm of ALGORITHMS) {
    const nobody: Situation = {
      endpoints: [],
      weights: new Map(),
      mostEntries: AS_MANY_AS_IT_WANTS,
      eligible: [],
      loads: [],
      client: ip('203.0.113.9'),
      seed: 1,
    };
    t.strictSame(ofEngine(algorithm, nobody, 2), [0xffffffff, 0xffffffff], algorithm);
    t.strictSame(ofReference(algorithm, nobody, 2), [0xffffffff, 0xffffffff], algorithm);
    const endpoints = candidates(5).map(({ address }) => routedEndpoint(address));
    const some = { ...nobody, endpoints, loads: [4, 3, 2, 1, 0] };
    const everybody = { ...some, eligible: endpoints.map(() => true) };
    t.strictSame(ofEngine(algorithm, some, 20), ofReference(algorithm, everybody, 20), algorithm);
  }
});

const SHARES = [5, 3, 2, 0] as const;

t.test('weights are kept', async (t) => {
  const endpoints = candidates(4).map(({ address }) => routedEndpoint(address));
  const count = 40_000;
  // With equal loads the heavier of two is the less loaded: power of two then exceeds the weights.
  const byLoad: readonly Algorithm[] = ['least-connections', 'power-of-two', 'source-hash', 'maglev'];
  for (const algorithm of ALGORITHMS.filter((each) => !byLoad.includes(each))) {
    const picked = ofEngine(
      algorithm,
      {
        endpoints,
        weights: weigh(endpoints, SHARES),
        mostEntries: AS_MANY_AS_IT_WANTS,
        eligible: endpoints.map(() => true),
        loads: [0, 0, 0, 0],
        client: ip('203.0.113.9'),
        seed: 42,
      },
      count,
    );
    const counts = tally(picked);
    for (const [i, share] of SHARES.entries()) {
      const part = (counts.get(i) ?? 0) / count;
      t.ok(Math.abs(part - share / 10) < 0.01, `${algorithm}: ${part} of ${share / 10}`);
    }
  }
});

/** Connections stay: each adds to the load of its endpoint. */
function filled(algorithm: Algorithm, weights: readonly number[], count: number): readonly number[] {
  const endpoints = candidates(weights.length).map(({ address }) => routedEndpoint(address));
  tell(algorithm, endpoints, weigh(endpoints, weights));
  const loads = weights.map(() => 0);
  const client = ipToBytes(ip('203.0.113.9'));
  for (const i of loads.keys()) words[activeWord(i)] = 0n;
  for (let seed = 0; seed < count; seed++) {
    const [index = 0] = engine.picks(SERVICE_CELL, 0, seed, client, new Uint8Array(), 1);
    loads[index] = (loads[index] ?? 0) + 1;
    words[activeWord(index)] = BigInt(loads[index] ?? 0);
  }
  return loads;
}

t.test('who counts connections evens them out', async (t) => {
  const count = 10_000;
  t.strictSame(filled('least-connections', SHARES, count), [5000, 3000, 2000, 0]);
  const twoChoices = filled('power-of-two', SHARES, count);
  for (const [i, share] of SHARES.entries()) {
    const load = twoChoices[i] ?? 0;
    t.ok(Math.abs(load - (share / 10) * count) <= 30, `power-of-two: ${load} of ${(share / 10) * count}`);
  }
  const spread = (loads: readonly number[]) => Math.max(...loads) - Math.min(...loads);
  const equal = new Array(20).fill(1);
  t.ok(spread(filled('power-of-two', equal, count)) < 10);
  t.ok(spread(filled('random', equal, count)) > 30, 'a lot alone is worse');
});

t.test(
  'clients spread by weight with both hashes, and few move with maglev when an endpoint goes',
  async (t) => {
    const endpoints = candidates(10).map(({ address }) => routedEndpoint(address));
    const weights = weigh(endpoints, [3, 2]);
    const clients = candidates(20_000).map(({ address }) => ipToBytes(address));
    const answers = (algorithm: Algorithm, list: readonly Endpoint[]) => {
      tell(algorithm, list, weights);
      return clients.map((client) => {
        const [index = 0] = engine.picks(SERVICE_CELL, 0, 0, client, new Uint8Array(), 1);
        return list[index]?.target;
      });
    };
    const gone = endpoints[4]?.target;
    const moved = (algorithm: Algorithm) => {
      const before = answers(algorithm, endpoints);
      const counts = tally(before);
      const share = (counts.get(endpoints[0]?.target) ?? 0) / clients.length;
      t.ok(Math.abs(share - 3 / 13) < 0.015, `${algorithm}: ${share} of ${3 / 13}`);
      const after = answers(
        algorithm,
        endpoints.filter(({ target }) => target !== gone),
      );
      return before.filter((target, i) => target !== gone && target !== after[i]).length / clients.length;
    };
    const table = maglev(endpoints, weights);
    const later = maglev(
      endpoints.filter(({ target }) => target !== gone),
      weights,
    );
    t.equal(table.length, later.length);
    t.ok(moved('maglev') < 0.06);
    t.ok(moved('source-hash') > 0.5, 'which source-hash does not promise');
  },
);
