import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { ALGORITHMS } from '../../../src/balancing/Balancing.js';
import { maglev } from '../../../src/balancing/maglev.js';
import { readBalancing } from '../../../src/balancing/readBalancing.js';
import { fromRoot } from '../../support/fromRoot.js';
import { candidates } from './endpoints.js';

const page = readFileSync(fromRoot('docs/balancing.md'), 'utf8');

t.test('docs/balancing.md has a row for every algorithm', async (t) => {
  const rows = [...page.matchAll(/^\| `([a-z-]+)`.*\|$/gm)].map(([, name]) => name);
  t.strictSame(rows, ALGORITHMS);
});

t.test('its example is valid', async (t) => {
  const [example = ''] = page.match(/(^ {4}.+\n)+/m) ?? [];
  const { annotations } = parse(example).metadata;
  const { balancing, faults } = readBalancing({
    algorithm: annotations['penstock.io/algorithm'],
    weights: annotations['penstock.io/weights'],
  });
  t.strictSame(faults, []);
  t.equal(balancing.algorithm, 'maglev');
  t.strictSame([...balancing.weights.values()], [3, 0]);
});

t.test('its message is what is said', async (t) => {
  const [fault = ''] = readBalancing({ algorithm: 'magle' }).faults;
  t.not(fault, '');
  t.ok(page.includes(`    Service shop/cart: ${fault}\n`), fault);
});

t.test('its sizes are the sizes', async (t) => {
  const numbersOf = (row: RegExp) => (page.match(row)?.[0].match(/\d+/g) ?? []).map(Number);
  const limits = numbersOf(/^\| sum of weights.*$/m);
  const sizes = numbersOf(/^\| entries.*$/m);
  t.equal(limits.length, 2);
  const sizeOf = (count: number) => maglev(candidates(count), new Map()).length;
  t.strictSame([...limits.map(sizeOf), sizeOf(1000)], sizes);
  t.strictSame(
    limits.map((limit) => sizeOf(limit + 1)),
    sizes.slice(1),
  );
});
