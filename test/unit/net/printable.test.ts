import t from 'tap';
import { printable, printableJson, printableLines } from '../../../src/net/printable.js';

const cases: readonly (readonly [text: string, shown: string])[] = [
  ['shop/web', 'shop/web'],
  ['Größe 東京 🙂', 'Größe 東京 🙂'],
  ['a\nb\r\n\tc', 'a\\nb\\r\\n\\tc'],
  ['\u001b[31mred', '\\x1b[31mred'],
  ['\u009b2J', '\\x9b2J'],
  ['\u0000\u007f\u0085', '\\x00\\x7f\\x85'],
  ['user\u202egnp.exe', 'user\\u202egnp.exe'],
  ['\u2066\u2069\u200f\u061c', '\\u2066\\u2069\\u200f\\u061c'],
  ['zero\u200bwidth\ufeff', 'zero\\u200bwidth\\ufeff'],
  ['\u2028line', '\\u2028line'],
  ['half \ud800', 'half \\ud800'],
  ['tag \u{e0041}', 'tag \\u{e0041}'],
];

t.test('what a terminal would act on is shown as an escape', async (t) => {
  for (const [text, shown] of cases) t.equal(printable(text), shown);
});

t.test('no C0, C1, DEL or bidi character passes', async (t) => {
  const dangerous = [
    ...Array.from({ length: 0x20 }, (_, i) => i),
    ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i),
    ...[0x61c, 0x200e, 0x200f, 0x2028, 0x2029],
    ...Array.from({ length: 5 }, (_, i) => 0x202a + i),
    ...Array.from({ length: 4 }, (_, i) => 0x2066 + i),
  ];
  for (const point of dangerous) {
    const text = String.fromCodePoint(point);
    t.match(printable(text), /^\\[\x20-\x7e]+$/, `U+${point.toString(16)}`);
    t.equal(printableLines(text) === text, text === '\n', `U+${point.toString(16)} in lines`);
  }
});

t.test('JSON stays the same JSON', async (t) => {
  const value = Object.fromEntries(cases.map(([text], i) => [`${i}${text}`, text]));
  const line = printableJson(`${JSON.stringify(value)}\n`);
  t.equal(printableLines(line), line, 'nothing is left to escape');
  t.same(JSON.parse(line), value);
  t.ok(line.endsWith('}\n'));
});
