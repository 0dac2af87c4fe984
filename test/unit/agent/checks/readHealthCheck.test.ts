import t from 'tap';
import { readHealthCheck } from '../../../../src/agent/checks/readHealthCheck.js';

t.test('the annotations', async (t) => {
  t.same(readHealthCheck({ algorithm: 'random' }), { check: undefined, faults: [] });
  t.same(readHealthCheck({ 'health-check': 'tcp' }).check, {
    interval: 2000,
    timeout: 1000,
    rise: 2,
    fall: 3,
  });
  t.same(
    readHealthCheck({
      'health-check': 'tcp',
      'health-check-interval': '500ms',
      'health-check-timeout': '1m',
      'health-check-rise': '1',
      'health-check-fall': '9',
    }),
    { check: { interval: 500, timeout: 60_000, rise: 1, fall: 9 }, faults: [] },
  );
  for (const [options, fault, isChecked] of [
    [{ 'health-check': 'http' }, /is "http", must be tcp; until then nothing is checked/, false],
    [{ 'health-check-rise': '1' }, /health-check\] is missing/, false],
    [
      { 'health-check': 'tcp', 'health-check-interval': '1ms' },
      /"1ms", must be 200ms to 1h0m0s; until then it is 2s/,
      true,
    ],
    [{ 'health-check': 'tcp', 'health-check-fall': '0' }, /"0", must be 1 to 100; until then it is 3/, true],
    [{ 'health-check': 'tcp', 'health-check-fall': '1e3' }, /"1e3"/, true],
    [{ 'health-check': 'tcp', 'health-check-constructor': '1' }, /is not known; there are interval/, true],
  ] as const) {
    const { check, faults } = readHealthCheck(options);
    t.match(faults.join(), fault);
    t.equal(check !== undefined, isChecked);
  }
});
