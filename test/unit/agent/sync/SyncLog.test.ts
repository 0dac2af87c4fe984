/** What the log says of syncs. */

import t from 'tap';
import { SyncLog } from '../../../../src/agent/sync/SyncLog.js';
import type { FamilyReport } from '../../../../src/dataplane/Dataplane.js';
import { createLogger } from '../../../../src/observe/log/createLogger.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { tableOf } from '../../../support/builders.js';

const NOTHING = { families: { IPv4: [], IPv6: [] }, triggerTimes: [] };
const family = (fields: Partial<FamilyReport>): FamilyReport => ({
  family: 'IPv4',
  kind: 'partial',
  written: 1,
  transactions: 1,
  kernelMs: 0.1,
  totalMs: 0.3,
  ...fields,
});

t.test('full and slow syncs at once, small ones summed up', async (t) => {
  const lines: string[] = [];
  const log = createLogger({ format: 'json', verbosity: 0 }, {
    write: (line: string) => lines.push(JSON.parse(line).msg),
  } as never);
  let now = 0;
  const table = tableOf([]);
  const syncLog = new SyncLog(log, { ...systemClock, now: () => now });
  const add = (fields: Partial<FamilyReport>) =>
    syncLog.add(table, NOTHING, { families: [family(fields)], problems: [] });
  const said = () => lines.splice(0);

  add({ kind: 'none', written: 0 });
  t.same(said(), [], 'nothing to do is nothing to say');
  add({ kind: 'full', written: 7, totalMs: 12 });
  t.match(said(), [/^synced: IPv4 full 7\/0 in 12 ms$/]);
  add({});
  t.match(
    said(),
    [/^synced 1 changed service ports in 1 syncs, the slowest took 0\.3 ms$/],
    'the first small one',
  );
  for (let i = 0; i < 100; i++) {
    now += 100;
    add({ written: 2, totalMs: i === 50 ? 7.5 : 0.2 });
  }
  t.same(said(), [], 'more within a minute');
  add({ totalMs: 1500 });
  t.match(said(), [/^synced: IPv4 partial 1\/0 in 1500 ms$/], 'but a slow one');
  now += 60_000;
  add({});
  t.match(said(), [/^synced 201 changed service ports in 101 syncs, the slowest took 7\.5 ms$/]);
});

t.test('a million changes in one sync are one line', async (t) => {
  const lines: { sinceChangeMs?: number }[] = [];
  const log = createLogger({ format: 'json', verbosity: 0 }, {
    write: (line: string) => lines.push(JSON.parse(line)),
  } as never);
  const triggerTimes = Array.from({ length: 1_000_000 }, (_, i) => i);
  const report = { families: [family({ kind: 'full' })], problems: [] };
  new SyncLog(log, systemClock).add(tableOf([]), { ...NOTHING, triggerTimes }, report);
  t.equal(lines.length, 1);
  t.ok(Number.isFinite(lines[0]?.sinceChangeMs));
});
