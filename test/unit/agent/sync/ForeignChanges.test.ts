/** One event, one line; the pace of repairs counts events, not families. */
import t from 'tap';
import { ForeignChanges } from '../../../../src/agent/sync/ForeignChanges.js';
import { FakeClock } from '../../../support/FakeClock.js';

function changesWorld() {
  const clock = new FakeClock();
  const told: (readonly [what: string, delayMs: number])[] = [];
  const changes = new ForeignChanges(clock, (what, delayMs) => void told.push([what, delayMs]));
  return { clock, told, changes };
}

t.test('what both families hear of at once is one line; the next event is another', async (t) => {
  const { clock, told, changes } = changesWorld();
  t.equal(changes.add('IPv4 table penstock was deleted'), 0, 'the repair comes at once');
  await clock.pass(50);
  t.equal(changes.add('IPv6 table penstock was deleted'), 0);
  changes.add('IPv4 table penstock was deleted');
  t.same(told, []);
  await clock.pass(50);
  t.same(told, [['IPv4 table penstock was deleted; IPv6 table penstock was deleted', 0]]);
  changes.add('a chain is gone');
  changes.flush();
  t.same(told[1], ['a chain is gone', 0], 'before the sync is told');
  await clock.pass(1000);
  t.equal(told.length, 2);
  t.equal(clock.waiting, 0);
  changes.flush();
  t.equal(told.length, 2, 'nothing is told twice');
});

t.test('again and again it takes longer, and a flood makes no long line', async (t) => {
  const { clock, told, changes } = changesWorld();
  for (let i = 0; i < 20; i++) {
    t.equal(changes.add('IPv4'), 0);
    t.equal(changes.add('IPv6'), 0, 'both are one');
    changes.flush();
  }
  t.ok(changes.add('IPv4') > 0);
  changes.flush();
  t.ok((told.at(-1)?.[1] ?? 0) > 0);
  await clock.pass(60_000);
  for (let i = 0; i < 1000; i++) changes.add(`set ${i}`);
  changes.flush();
  t.equal(told.at(-1)?.[0], 'set 0; set 1; set 2; set 3; set 4; and 995 more');
});
