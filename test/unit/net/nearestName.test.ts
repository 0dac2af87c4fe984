import t from 'tap';
import { nearestName } from '../../../src/net/nearestName.js';

const NAMES = ['clusterIP', 'externalIPs', 'ports', 'shop/cart'];

t.test('the name that was meant', async (t) => {
  const cases: readonly [given: string, near: string | undefined][] = [
    ['clusterIp', 'clusterIP'],
    ['clsuterIP', 'clusterIP'],
    ['externalIP', 'externalIPs'],
    ['port', 'ports'],
    ['prots', 'ports'],
    ['shop/crat', 'shop/cart'],
    ['x', undefined],
    ['', undefined],
    ['somethingElse', undefined],
  ];
  for (const [given, near] of cases) t.equal(nearestName(given, NAMES), near, given);
});

t.test('the longest names of Services are compared, longer texts are not', async (t) => {
  const service = `${'n'.repeat(63)}/${'s'.repeat(63)}`;
  t.equal(nearestName(`${service.slice(0, -1)}x`, [service]), service);
  const began = performance.now();
  const long = 'a'.repeat(50_000);
  t.equal(nearestName(`${long}b`, Array(1000).fill(long)), undefined);
  t.ok(performance.now() - began < 1000, 'the square of the length would take hours');
});
