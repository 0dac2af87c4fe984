import t from 'tap';
import { formatDuration, parseDuration } from '../../../src/time/duration.js';

t.test('Go durations are read as milliseconds and written as Go writes them', (t) => {
  const cases: readonly (readonly [string, number, string])[] = [
    ['0', 0, '0s'],
    ['0s', 0, '0s'],
    ['-0s', 0, '0s'],
    ['30s', 30_000, '30s'],
    ['1h0m0s', 3_600_000, '1h0m0s'],
    ['24h', 86_400_000, '24h0m0s'],
    ['1.5s', 1500, '1.5s'],
    ['1.1s', 1100, '1.1s'],
    ['.5s', 500, '500ms'],
    ['2.s', 2000, '2s'],
    ['250ms', 250, '250ms'],
    ['1m30s', 90_000, '1m30s'],
    ['90s', 90_000, '1m30s'],
    ['2h22m', 8_520_000, '2h22m0s'],
    ['+1s', 1000, '1s'],
    ['-1m', -60_000, '-1m0s'],
    ['7us', 0.007, '7µs'],
    ['7µs', 0.007, '7µs'],
    ['3ns', 0.000003, '3ns'],
    ['1h0.000001s', 3_600_000.001, '1h0m0.000001s'],
  ];
  for (const [text, milliseconds, written] of cases) {
    t.equal(parseDuration(text), milliseconds, text);
    t.equal(formatDuration(milliseconds), written, `${text} written`);
    t.equal(parseDuration(written), milliseconds, `${written} read again`);
  }
  t.end();
});

t.test('anything else is no duration', (t) => {
  const texts = [
    '',
    '5',
    '1.5',
    's',
    '.s',
    '1 s',
    ' 1s',
    '1s ',
    '1d',
    '1S',
    '1m-1s',
    '--1s',
    '1..5s',
    '1e3s',
    '3000000h',
  ];
  for (const text of texts) t.equal(parseDuration(text), undefined, JSON.stringify(text));
  t.end();
});

t.test('a text of any length is looked at once', (t) => {
  const began = performance.now();
  for (const text of [
    '9'.repeat(50_000),
    '1h'.repeat(50_000),
    `${'1.'.repeat(50_000)}s`,
    `${'0'.repeat(99)}!`,
  ])
    t.equal(parseDuration(text), undefined, `${text.slice(0, 10)}…`);
  t.ok(performance.now() - began < 500, 'soon');
  t.equal(parseDuration(`${'0'.repeat(98)}1s`), 1000);
  t.end();
});
