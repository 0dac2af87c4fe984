import t from 'tap';
import { describeEvents } from '../../../../src/dataplane/userspace/engineEvents.js';

const NAMES: Readonly<Record<number, string>> = { 1: 'shop/cart:http/TCP', 2: '10.0.0.7:8080' };

function lines(...events: readonly number[]) {
  return describeEvents(Uint32Array.from(events), (cell) => NAMES[cell] ?? `cell ${cell}`);
}

t.test('each kind of news', async (t) => {
  const subject = 'shop/cart:http/TCP: endpoint 10.0.0.7:8080';
  t.strictSame(lines(0, 1, 2, 0), [
    { level: 'warn', text: `${subject} refuses connections; it gets no new ones for a while` },
  ]);
  t.strictSame(lines(0, 1, 2, 1), [
    { level: 'warn', text: `${subject} does not answer; it gets no new ones for a while` },
  ]);
  t.strictSame(lines(1, 1, 2, 0), [{ level: 'info', text: `${subject} answers again` }]);
  t.strictSame(lines(2, 1, 2, 0), [], 'still away: it was told of before');
  const [full] = lines(3, 0, 0, 0);
  t.match(full, { level: 'warn', text: /^all file descriptors are in use: .*LimitNOFILE/ });
  t.strictSame(lines(), []);
  t.strictSame(lines(77, 1, 2, 0), [], 'what a newer engine may tell');
});

t.test('what several threads tell at the same time is said once, in its order', async (t) => {
  const texts = lines(3, 0, 0, 0, 0, 1, 2, 0, 3, 0, 0, 0, 1, 1, 2, 0).map(({ text }) => text);
  t.equal(texts.length, 3);
  t.match(texts, [/^all file/, /refuses/, /answers again$/]);
});
