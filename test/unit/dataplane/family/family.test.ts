/** What all modes share: the loop over families, pending changes, what is set aside, who wants a key. */
import t from 'tap';
import { type FamilyReport, UNHEARD } from '../../../../src/dataplane/Dataplane.js';
import { FamilyPending } from '../../../../src/dataplane/family/FamilyPending.js';
import { SetAside } from '../../../../src/dataplane/family/SetAside.js';
import { syncFamilies } from '../../../../src/dataplane/family/syncFamilies.js';
import { WantedKeys } from '../../../../src/dataplane/family/WantedKeys.js';
import { waitForAll } from '../../../../src/dataplane/family/waitForAll.js';
import { IP_FAMILIES, type IpFamily } from '../../../../src/net/ip.js';
import type { ServicePortChange } from '../../../../src/routing/ChangeSet.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { endpoint, ip, service, slice, tableOf } from '../../../support/builders.js';

const FAMILIES = IP_FAMILIES.map((family) => ({ family }));
const reportOf = (family: IpFamily): FamilyReport => {
  return { family, kind: 'full', written: 1, transactions: 1, kernelMs: 1, totalMs: 1 };
};

t.test('each family is synced whatever becomes of the other', async (t) => {
  for (const broken of [[], ['IPv4'], ['IPv6'], ['IPv4', 'IPv6']]) {
    const heard: string[] = [];
    const listener = {
      ...UNHEARD,
      familyFailed: (family: IpFamily) => heard.push(`${family} failed`),
      familySynced: ({ family }: FamilyReport) => heard.push(`${family} synced`),
    };
    const syncing = syncFamilies(FAMILIES, listener, async ({ family }) => {
      if (broken.includes(family)) throw new Error(`no ${family}`);
      return reportOf(family);
    });
    if (broken.length === 0) t.same(await syncing, IP_FAMILIES.map(reportOf));
    else if (broken.length === 1) await t.rejects(syncing, { message: `no ${broken[0]}` });
    else await t.rejects(syncing, { message: 'IPv4: no IPv4; IPv6: no IPv6' }, 'neither hides the other');
    const synced = IP_FAMILIES.filter((family) => broken.length > 0 && !broken.includes(family));
    t.same(heard, [...broken.map((f) => `${f} failed`), ...synced.map((f) => `${f} synced`)]);
  }
  const same = syncFamilies(FAMILIES, UNHEARD, async () => {
    throw new TypeError('the channel is closed');
  });
  await t.rejects(same, new TypeError('the channel is closed'), 'one reason is told once');
});

t.test('what let others go first is written also where the other family fails', async (t) => {
  let left = 3;
  let tries = 0;
  const syncing = syncFamilies(FAMILIES, UNHEARD, async ({ family }) => {
    if (family === 'IPv6') throw new Error('no IPv6');
    tries++;
    return { ...reportOf(family), waiting: left-- > 0 ? [change(undefined, A)] : undefined };
  });
  await t.rejects(syncing, { message: 'no IPv6' });
  t.equal(tries, 4);
});

t.test('nothing is under way any more when one of several has failed', async (t) => {
  let ended = false;
  const slow = async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    ended = true;
    return 7;
  };
  const fail = async () => {
    throw new Error('refused');
  };
  await t.rejects(waitForAll([fail(), slow()]), { message: 'refused' });
  t.ok(ended);
  t.same(await waitForAll([slow(), Promise.resolve('x')]), [7, 'x']);
});

const ports = (() => {
  const vips = [1, 2, 3].map((n) => ip(`10.96.0.${n}`));
  const objects = vips.flatMap((IPv4, n) => [
    service({ name: `web${n}`, clusterIPs: { IPv4 } }),
    slice([endpoint(`10.1.0.${n + 1}`)], { name: `web${n}-1`, serviceName: `web${n}` }),
  ]);
  const table = tableOf(objects);
  table.commit();
  return [...table.servicePorts('IPv4').values()] as [ServicePort, ServicePort, ServicePort];
})();
const [A, B, C] = ports;
const change = (before: ServicePort | undefined, after: ServicePort | undefined): ServicePortChange => {
  return { key: 'x', before, after };
};

t.test('pending changes: nothing is lost, nothing is told twice', async (t) => {
  const pending = new FamilyPending();
  t.equal(pending.isKnown, false, 'at first nothing is known');
  pending.take([change(undefined, A)]);
  t.same(pending.begin(), { changes: [change(undefined, A)], isKnown: false });
  t.equal(pending.confirm(), true);
  t.ok(pending.isEmpty);
  t.same(pending.begin(), { changes: [], isKnown: true });
  pending.take([change(A, B)]);
  t.equal(pending.confirm(), true);
  t.same(pending.begin(), { changes: [change(A, B)], isKnown: true }, 'what came while it was written');
  pending.take([change(B, C)]);
  t.same(pending.begin(), { changes: [change(A, C)], isKnown: false }, 'it failed: first before, last after');
  pending.doubt();
  t.equal(pending.confirm(), false, 'somebody else wrote at the same time');
  t.same(pending.begin(), { changes: [], isKnown: false });
  t.equal(pending.confirm(), true);
  pending.doubt();
  t.same(pending.begin(), { changes: [], isKnown: false }, 'a doubt in between');
});

t.test('changes that were left come again, before those that came since, as one with them', async (t) => {
  const pending = new FamilyPending();
  pending.begin();
  pending.confirm();
  const other = (before: ServicePort | undefined, after: ServicePort | undefined) => ({
    ...change(before, after),
    key: 'other',
  });
  pending.take([change(undefined, A), other(undefined, B)]);
  pending.begin();
  pending.take([other(B, C), change(A, B)]);
  t.equal(pending.confirm([change(undefined, A)]), true);
  t.same([...pending.waiting], [change(undefined, B), other(B, C)]);
  t.same(pending.begin(), { changes: [change(undefined, B), other(B, C)], isKnown: true });
});

t.test('what is refused waits longer each time, and not when it changes', async (t) => {
  const aside = new SetAside({ retryMs: 1000, meanwhile: 'its last good rules stay' });
  const table = new Map(ports.map((port) => [port.key, port]));
  aside.addServicePort(A, 'EINVAL', 0);
  t.match(aside.problems(), [
    {
      subject: 'Service shop/web0',
      message:
        /^port 80\/TCP \(IPv4\) is set aside, its last good rules stay; all others are programmed\. EINVAL\. Tried again in 1 s and whenever/,
    },
  ]);
  t.same([...aside.accepted(table)], [B, C]);
  t.same(aside.due(999), []);
  t.same(aside.due(1000), [A.key]);
  t.same(aside.due(1000), [A.key], 'until the kernel has answered');
  t.same([...aside.accepted(table)], ports);
  aside.addServicePort(A, 'EINVAL', 1000);
  t.match(aside.problems()[0]?.message, /Tried again in 2 s/);
  t.same(aside.due(2999), []);
  t.same(aside.due(3000), [A.key]);
  aside.confirm();
  t.same([aside.problems(), aside.due(9_999_999)], [[], []]);

  for (let n = 0; n < 20; n++) aside.addServicePort(B, 'EINVAL', 0);
  t.match(aside.problems()[0]?.message, /Tried again in 60 min/);
  t.same(aside.due(3_599_999), []);
  t.same(
    aside.rebase([{ key: B.key, before: B, after: undefined }]),
    [{ key: B.key, before: undefined, after: undefined }],
    'nothing of it is in the kernel',
  );
  t.same(aside.problems(), []);
  const changes = [{ key: B.key, before: undefined, after: B }];
  t.equal(aside.rebase(changes), changes);
});

t.test('a key stays as long as anybody wants it', async (t) => {
  const keys = new WantedKeys();
  t.equal(keys.add('a'), true);
  t.equal(keys.add('a'), false);
  t.equal(keys.remove('a'), false);
  t.same([[...keys.keys()], keys.has('a'), keys.size], [['a'], true, 1]);
  t.equal(keys.remove('a'), true);
  t.equal(keys.remove('a'), false);
  t.same([[...keys.keys()], keys.has('a'), keys.size], [[], false, 0]);
});
