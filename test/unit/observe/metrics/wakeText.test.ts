/** Metrics of first packets that wait for somebody who serves, and that docs/metrics.md speaks of all of them. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { acceptText, wakeText } from '../../../../src/observe/metrics/wakeText.js';
import { fromRoot } from '../../../support/fromRoot.js';

const STATUS = {
  waiting: 1,
  flows: 1,
  held: 2,
  released: 3,
  cured: 4,
  replaced: 5,
  timedOut: 6,
  crowded: 7,
  passed: 8,
  wakes: 9,
  wakeMs: 1500,
};

t.test('nobody asks for it', async (t) => {
  t.equal(wakeText(undefined) + acceptText(undefined), '');
});

t.test('every figure, in seconds where it is a time', async (t) => {
  const text = wakeText({ asleep: 10, status: STATUS });
  const values = [...text.matchAll(/^penstock_wake_(\w+) (\S+)$/gm)].map(([, name, value]) => [name, value]);
  t.strictSame(Object.fromEntries(values), {
    asleep: '10',
    waiting_packets: '1',
    held_total: '2',
    released_total: '3',
    timestamps_total: '4',
    replaced_total: '5',
    timeouts_total: '6',
    crowded_total: '7',
    passed_total: '8',
    wakes_total: '9',
    seconds_total: '1.5',
  });
  const accepted = acceptText({ asleep: 1, accepted: 2, failed: 3, active: 4 });
  const more = [...accepted.matchAll(/^penstock_wake_(\w+) (\S+)$/gm)].map(([, name, value]) => [
    name,
    value,
  ]);
  t.strictSame(Object.fromEntries(more), {
    accepting: '1',
    accepted_total: '2',
    accepted_in_vain_total: '3',
    accepted_active: '4',
  });
  const docs = readFileSync(fromRoot('docs/metrics.md'), 'utf8');
  const documented = new Set([...docs.matchAll(/`penstock_wake_(\w+)`/g)].map(([, name]) => name));
  t.strictSame([...documented].sort(), [...values, ...more].map(([name]) => name).sort());
});
