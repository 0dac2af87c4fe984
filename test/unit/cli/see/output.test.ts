/** What comes from objects never acts on a terminal, and never fills it. */
import t, { type Test } from 'tap';
import { explanationText } from '../../../../src/cli/see/explainText.js';
import { colour, field, printJson, table, wrap } from '../../../../src/cli/see/output.js';
import type { Explanation } from '../../../../src/explain/explain.js';

const HOSTILE = 'a\u001b[2J\u009b31m\nb\u202e\u2066\u200b\u{e0041}c';
const CHARACTERS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

function written(call: () => void): string {
  let text = '';
  const before = process.stdout.write;
  process.stdout.write = ((chunk: string) => {
    text += chunk;
    return true;
  }) as typeof process.stdout.write;
  try {
    call();
  } finally {
    process.stdout.write = before;
  }
  return text;
}

function isHarmless(t: Test, lines: readonly string[], width = 80): void {
  for (const line of lines) {
    t.notMatch(line, CHARACTERS);
    t.ok(line.length <= width, `${line.length} columns`);
  }
}

t.test('fields, headings, verdicts and tables', (t) => {
  const long = 'x'.repeat(100_000);
  for (const text of [HOSTILE, long, `${HOSTILE} ${long}`]) {
    isHarmless(t, field('name', text));
    isHarmless(t, wrap(text, 80));
    isHarmless(t, [colour('red', text.slice(0, 10))]);
    isHarmless(t, table([{ title: 'NAME', shrinks: true }, { title: 'STATE' }], [[text, 'ok']]));
    t.ok(wrap(text, 80).length < 60, 'no flood of lines');
  }
  t.same(wrap('one two three', 8), ['one two', 'three']);
  t.same(wrap('abcdefghij kl', 4), ['abcd', 'efgh', 'ij', 'kl']);
  t.end();
});

t.test('JSON is what it was, and shows nothing raw', (t) => {
  const value = { name: HOSTILE, list: [HOSTILE] };
  const text = written(() => printJson(value));
  t.same(JSON.parse(text), value);
  isHarmless(t, text.split('\n'));
  t.end();
});

t.test('the head of an explanation', (t) => {
  const explanation = {
    client: { is: 'pod', name: HOSTILE, address: '10.1.0.1' },
    destination: { is: 'cluster IP', address: '172.30.0.1', port: 80, protocol: 'TCP' },
    servicePort: `shop/${HOSTILE}`,
    service: `shop/${HOSTILE}`,
    outcome: 'refused',
    reason: HOSTILE,
    because: HOSTILE,
    notes: [HOSTILE],
    remedy: HOSTILE,
    losers: [{ servicePort: HOSTILE, as: HOSTILE, because: HOSTILE }],
    policy: null,
    topology: 'none',
    affinitySeconds: null,
    sourceRanges: [],
    isProblem: true,
    node: HOSTILE,
    mode: 'nftables',
    candidates: [
      { endpoint: '10.1.0.9:80', pod: HOSTILE, node: HOSTILE, gets: false, share: 0, out: HOSTILE },
    ],
  } as unknown as Explanation;
  isHarmless(t, explanationText(explanation));
  t.end();
});
