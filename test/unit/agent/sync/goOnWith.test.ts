/** What let others go first: the loop goes on at once, and its connections are held against the new rules again. */
import t from 'tap';
import { goOnWith } from '../../../../src/agent/sync/goOnWith.js';
import type { FamilyReport } from '../../../../src/dataplane/Dataplane.js';
import type { ChangeSet } from '../../../../src/routing/ChangeSet.js';

const report = (family: 'IPv4' | 'IPv6', waiting?: FamilyReport['waiting']): FamilyReport => {
  return { family, kind: 'partial', written: 1, transactions: 1, kernelMs: 1, totalMs: 1, waiting };
};

t.test('goes on with what waits, and only then', async (t) => {
  const heard: (ChangeSet | string)[] = [];
  const connections = { take: (changes: ChangeSet) => heard.push(changes) };
  const loop = { requestUrgent: () => heard.push('again') };
  goOnWith({ families: [report('IPv4'), report('IPv6')] }, connections, loop);
  t.same(heard, []);
  const change = { key: 'x', before: undefined, after: undefined };
  goOnWith({ families: [report('IPv4'), report('IPv6', [change])] }, connections, loop);
  t.same(heard, [{ families: { IPv4: [], IPv6: [change] }, triggerTimes: [] }, 'again']);
});
