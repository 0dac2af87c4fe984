import t from 'tap';
import { PenstockError } from '../../../../src/errors.js';
import { Outage } from '../../../../src/kubernetes/contact/Outage.js';
import { FakeClock } from '../../../support/FakeClock.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const REFUSED = new PenstockError('PENSTOCK_API_UNREACHABLE', 'connect ECONNREFUSED', {
  remedy: 'Check it.',
});

function world() {
  const clock = new FakeClock();
  const lines: string[] = [];
  const log = { info: (text: string) => lines.push(text), warn: (text: string) => lines.push(text) };
  const outage = new Outage(clock, 'https://api:6443', log, () => 'The rules stay.');
  /** Fails every half a minute, for so long. */
  const away = async (milliseconds: number) => {
    for (const end = clock.now() + milliseconds; clock.now() < end; await clock.pass(MINUTE / 2)) {
      outage.failed('Services', REFUSED);
    }
  };
  return { clock, lines, outage, away };
}

t.test('an outage of hours: a line soon, reminders more and more rarely, a line at the end', async (t) => {
  const { clock, lines, outage, away } = world();
  await away(5 * HOUR);
  t.equal(lines.length, 7, 'after 2 s, 5 min, 20 min, 80 min, and each hour');
  t.equal(
    lines[0],
    'API server https://api:6443: connect ECONNREFUSED (Services; 1 attempt in 2 s). The rules stay. Check it.',
  );
  t.match(lines[1], /11 attempts in 5 min/);
  t.match(lines[2], /in 20 min/);
  outage.answered('Services');
  await clock.pass(MINUTE);
  t.equal(lines.length, 8);
  t.equal(lines[7], 'API server https://api:6443: answers again, after 5 h');
});

t.test('a server that comes and goes makes one outage', async (t) => {
  const { clock, lines, outage } = world();
  for (let i = 0; i < 100; i++) {
    outage.failed('Services', REFUSED);
    await clock.pass(1000);
    outage.answered('Services');
    await clock.pass(500);
  }
  await clock.pass(MINUTE);
  t.same(
    lines.map((line) => /answers again.*/.exec(line)?.[0] ?? 'away'),
    ['away', 'answers again, after 3 min'],
  );
  await clock.pass(HOUR);
  outage.failed('Services', REFUSED);
  await clock.pass(3000);
  t.match(lines.at(-1), /1 attempt in 2 s/, 'the next is counted anew');
});

t.test('what is over within 2 s is not worth a line', async (t) => {
  const { clock, lines, outage } = world();
  outage.failed('Services', REFUSED);
  await clock.pass(1500);
  outage.answered('Services');
  await clock.pass(HOUR);
  t.same(lines, []);
});

t.test('it is over when all resources are answered, and says which are not', async (t) => {
  const { clock, lines, outage } = world();
  outage.failed('Services', REFUSED);
  outage.failed('Node node1', REFUSED);
  await clock.pass(3000);
  t.match(lines[0], '(Services, Node node1; 2 attempts in 2 s)');
  outage.answered('Services');
  await clock.pass(MINUTE);
  t.equal(lines.length, 1);
  outage.answered('Node node1');
  await clock.pass(MINUTE);
  t.match(lines[1], 'answers again, after 63 s');
});

t.test('it says nothing after it was stopped', async (t) => {
  const { clock, lines, outage } = world();
  outage.failed('Services', REFUSED);
  outage.stop();
  await clock.pass(HOUR);
  t.same(lines, []);
});
