import t from 'tap';
import { parseHostPort, withPort } from '../../../src/config/hostPort.js';
import { parsePortRange } from '../../../src/config/portRange.js';
import { nearestName } from '../../../src/net/nearestName.js';

t.test('addresses with a port', (t) => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['0.0.0.0:10256', '0.0.0.0 10256'],
    ['010.0.0.041:80', '10.0.0.41 80'],
    ['[::]:1', ':: 1'],
    ['[FD00:0::1]:65535', 'fd00::1 65535'],
    ['10.0.0.1:0', undefined],
    ['10.0.0.1:65536', undefined],
    ['10.0.0.1', undefined],
    ['10.0.0.1:', undefined],
    [':80', undefined],
    ['::1:80', undefined],
    ['[::1]', undefined],
    ['localhost:80', undefined],
    ['10.0.0.1:80x', undefined],
    ['', undefined],
  ];
  for (const [text, expected] of cases) {
    const parsed = parseHostPort(text);
    t.equal(parsed && `${parsed.host} ${parsed.port}`, expected, text);
  }
  t.equal(withPort('10.0.0.1', 5), '10.0.0.1:5');
  t.equal(withPort('::1', 5), '[::1]:5');
  t.equal(withPort('10.0.0.1:6', 5), '10.0.0.1:6');
  t.equal(withPort('[::1]', 5), '[::1]');
  t.end();
});

t.test('port ranges', (t) => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['', '0-0'],
    ['0', '0-0'],
    ['0-0', '0-0'],
    ['80', '80-80'],
    ['1-65535', '1-65535'],
    ['100+5', '100-105'],
    ['65535+1', undefined],
    ['5-4', undefined],
    ['0-5', undefined],
    ['a-b', undefined],
    ['1-65536', undefined],
  ];
  for (const [text, expected] of cases) {
    const range = parsePortRange(text);
    t.equal(range && `${range.first}-${range.last}`, expected, text);
  }
  t.end();
});

t.test('the nearest name', (t) => {
  const known = ['minSyncPeriod', 'syncPeriod', 'mode', 'v'];
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['minsyncperiod', 'minSyncPeriod'],
    ['minSyncPeriodd', 'minSyncPeriod'],
    ['snycPeriod', 'syncPeriod'],
    ['mod', 'mode'],
    ['mdoe', 'mode'],
    ['x', undefined],
    ['V', 'v'],
    ['masquerade', undefined],
    ['', undefined],
  ];
  for (const [given, expected] of cases) t.equal(nearestName(given, known), expected, given);
  t.end();
});
