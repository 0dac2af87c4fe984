import fc from 'fast-check';
import t from 'tap';
import { ALGORITHMS, UNWEIGHTED } from '../../../src/balancing/Balancing.js';
import { IPVS_SCHEDULERS } from '../../../src/balancing/ipvsSchedulers.js';
import { readBalancing } from '../../../src/balancing/readBalancing.js';

const ONE_OF =
  'must be one of random, round-robin, least-connections, power-of-two, source-hash, maglev; until then it is random';
const UNTIL = 'until then every endpoint has weight 1';

t.test('without annotations, or with empty ones, it is the one default', async (t) => {
  for (const options of [{}, { retries: '3' }, { algorithm: '' }, { weights: '' }]) {
    const { balancing, faults } = readBalancing(options);
    t.equal(balancing, UNWEIGHTED.random);
    t.strictSame(faults, []);
  }
});

t.test('every algorithm by its name', async (t) => {
  for (const algorithm of ALGORITHMS) {
    const { balancing, faults } = readBalancing({ algorithm });
    t.equal(balancing, UNWEIGHTED[algorithm]);
    t.equal(balancing.algorithm, algorithm);
    t.strictSame(faults, []);
  }
});

t.test('schedulers of IPVS are the algorithm that comes nearest', async (t) => {
  const nearest = Object.fromEntries(
    IPVS_SCHEDULERS.map((algorithm) => {
      const { balancing, faults } = readBalancing({ algorithm });
      t.strictSame(faults, []);
      return [algorithm, balancing.algorithm];
    }),
  );
  t.match(nearest, {
    rr: 'round-robin',
    wrr: 'round-robin',
    sh: 'source-hash',
    mh: 'maglev',
    wlc: 'least-connections',
    twos: 'power-of-two',
    dh: 'random',
  });
  t.equal(IPVS_SCHEDULERS.length, 12);
});

t.test('weights by canonical address', async (t) => {
  const weights = '{"10.0.0.7": 3, "010.0.0.8": 0, "FD00:0::1": 100}';
  const { balancing, faults } = readBalancing({ algorithm: 'maglev', weights });
  t.strictSame(faults, []);
  t.equal(balancing.algorithm, 'maglev');
  t.strictSame(
    [...balancing.weights],
    [
      ['10.0.0.7', 3],
      ['10.0.0.8', 0],
      ['fd00::1', 100],
    ],
  );
  t.equal(readBalancing({ weights: '{}' }).balancing, UNWEIGHTED.random);
});

t.test('a bad algorithm is random, and the weights hold', async (t) => {
  for (const algorithm of ['magle', 'Maglev', ' random', '__proto__', 'least-conn']) {
    const { balancing, faults } = readBalancing({ algorithm, weights: '{"10.0.0.7": 3}' });
    t.strictSame(faults, [`metadata.annotations[penstock.io/algorithm] is "${algorithm}", ${ONE_OF}`]);
    t.strictSame([balancing.algorithm, balancing.weights.size], ['random', 1]);
  }
});

t.test('one bad weight and there are none, and the algorithm holds', async (t) => {
  const name = 'metadata.annotations[penstock.io/weights]';
  const whole = `must be a whole number, 0 to 100; ${UNTIL}`;
  const address = `must name IP addresses of endpoints; ${UNTIL}`;
  const cases: readonly [weights: string, fault: string][] = [
    ['3', `${name} is "3", must be a JSON object such as {"10.0.0.7": 3}; ${UNTIL}`],
    ['[]', `${name} is "[]", must be a JSON object such as {"10.0.0.7": 3}; ${UNTIL}`],
    ['null', `${name} is "null", must be a JSON object such as {"10.0.0.7": 3}; ${UNTIL}`],
    ['10.0.0.7=3', `${name} is "10.0.0.7=3", must be a JSON object such as {"10.0.0.7": 3}; ${UNTIL}`],
    ['{"10.0.0.7": 101, "10.0.0.8": 1}', `${name} is 101 for 10.0.0.7, ${whole}`],
    ['{"10.0.0.8": 1, "10.0.0.7": -1}', `${name} is -1 for 10.0.0.7, ${whole}`],
    ['{"10.0.0.7": 0.5}', `${name} is 0.5 for 10.0.0.7, ${whole}`],
    ['{"10.0.0.7": "3"}', `${name} is "3" for 10.0.0.7, ${whole}`],
    ['{"10.0.0.7": null}', `${name} is null for 10.0.0.7, ${whole}`],
    ['{"web-1": 3}', `${name} names "web-1", ${address}`],
    ['{"10.0.0.7:80": 3}', `${name} names "10.0.0.7:80", ${address}`],
    ['{"::ffff:10.0.0.7": 3}', `${name} names "::ffff:10.0.0.7", ${address}`],
    ['{"__proto__": 3}', `${name} names "__proto__", ${address}`],
    ['{"10.0.0.7": 3, "10.0.0.07": 4}', `${name} names 10.0.0.7 twice, must name it once; ${UNTIL}`],
  ];
  for (const [weights, fault] of cases) {
    const { balancing, faults } = readBalancing({ algorithm: 'maglev', weights });
    t.strictSame(faults, [fault]);
    t.equal(balancing, UNWEIGHTED.maglev, weights);
  }
});

t.test('every fault is told, though not without end', async (t) => {
  t.equal(readBalancing({ algorithm: 'x', weights: '{"a": 1, "10.0.0.7": 500}' }).faults.length, 3);
  const weights = JSON.stringify(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`pod-${i}`, 1])));
  const { faults } = readBalancing({ weights });
  t.ok(faults.length <= 11, `${faults.length} faults`);
  t.match(faults.at(-1), /^and \d+ more/);
});

t.test('whatever the texts are, nothing throws and either all is used or something is told', async () => {
  const value = fc.oneof(
    fc.string(),
    fc.json(),
    fc.dictionary(fc.ipV4(), fc.nat(120)).map((d) => JSON.stringify(d)),
  );
  fc.assert(
    fc.property(value, value, (algorithm, weights) => {
      const { balancing, faults } = readBalancing({ algorithm, weights });
      for (const weight of balancing.weights.values()) if (weight < 0 || weight > 100) return false;
      const isUsed = algorithm === '' || balancing.algorithm === algorithm;
      return isUsed || faults.length > 0;
    }),
  );
});
