import t from 'tap';
import { SyncProgress } from '../../../../src/agent/sync/SyncProgress.js';
import type { IpFamily } from '../../../../src/net/ip.js';

function fresh() {
  const clock = { now: 100 };
  const progress = new SyncProgress(['IPv4', 'IPv6'], () => clock.now);
  const of = (family: IpFamily) => progress.health.get(family);
  return { clock, progress, of };
}

t.test('right from the start, and with each sync', async (t) => {
  const { clock, progress, of } = fresh();
  t.strictSame(of('IPv4'), { updated: 100, pendingSince: undefined });
  clock.now = 200;
  progress.requested();
  clock.now = 300;
  progress.requested();
  t.strictSame(of('IPv4'), { updated: 100, pendingSince: 200 }, 'the oldest change counts');
  progress.taken();
  progress.synced('IPv4');
  t.strictSame(of('IPv4'), { updated: 300, pendingSince: undefined });
  t.strictSame(of('IPv6'), { updated: 100, pendingSince: 200 }, 'the other still waits');
});

t.test('a sync that hangs, or fails: what it has taken still waits', async (t) => {
  const { clock, progress, of } = fresh();
  progress.requested();
  progress.taken();
  t.equal(of('IPv6')?.pendingSince, 100, 'it hangs');
  clock.now = 200;
  progress.requested();
  progress.taken();
  t.equal(of('IPv6')?.pendingSince, 100, 'it has failed and runs again with more to do');
  progress.synced('IPv6');
  t.equal(of('IPv6')?.pendingSince, undefined);
});

t.test('a change that arrives while a sync runs waits for the next one', async (t) => {
  const { clock, progress, of } = fresh();
  progress.requested();
  progress.taken();
  clock.now = 200;
  progress.requested();
  progress.synced('IPv4');
  t.equal(of('IPv4')?.pendingSince, 200);
});

t.test('a repair that nobody asked for may hang as well', async (t) => {
  const { clock, progress, of } = fresh();
  clock.now = 200;
  progress.taken();
  t.equal(of('IPv4')?.pendingSince, 200);
});

t.test('families that this host has not', async (t) => {
  const progress = new SyncProgress(['IPv4'], () => 0);
  progress.synced('IPv6');
  t.strictSame([...progress.health.keys()], ['IPv4']);
});
