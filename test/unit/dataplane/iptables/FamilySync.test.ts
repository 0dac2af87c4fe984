/** What a sync writes, and what it does when iptables refuses. */

import t from 'tap';
import { FamilySync, LARGE_CLUSTER_ENDPOINTS } from '../../../../src/dataplane/iptables/FamilySync.js';
import { verifyAnchors, verifyCounts } from '../../../../src/dataplane/iptables/plan/verifyRules.js';
import type { ApiObject } from '../../../../src/objects/ApiObject.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { endpoint, ip, port, remove, service, slice, tableOf, upsert } from '../../../support/builders.js';
import { FakeXtables } from '../../../support/FakeXtables.js';
import { settingsOf } from '../../../support/renderTable.js';

const RETRY_MS = 1000;
const b = service({ name: 'b', clusterIPs: { IPv4: ip('10.96.0.11') } });
const bSlice = slice([endpoint('10.244.0.9')], { name: 'b-1', serviceName: 'b' });
const cart = [service(), slice([endpoint('10.244.0.1')])];

async function start(objects: readonly ApiObject[], backend: 'nft' | 'legacy' = 'nft') {
  const table = tableOf(objects);
  const fake = new FakeXtables({ backend });
  const clock = { now: 0 };
  const tool = await fake.open();
  const failed: string[] = [];
  const sync = new FamilySync({
    tool,
    retryMs: RETRY_MS,
    clock: { ...systemClock, now: () => clock.now },
    onRestoreFailed: (kind) => failed.push(kind),
  });
  const settings = () => settingsOf('IPv4', table);
  return {
    table,
    fake,
    clock,
    tool,
    sync,
    /** What iptables-restore did not take, since the start. */
    failed,
    settings,
    run: () => {
      sync.take(table.commit().families.IPv4);
      return sync.sync(table.servicePorts('IPv4'), settings());
    },
    /** What the last run wrote. */
    last: () => fake.inputs.at(-1) ?? '',
    has: (text: string) =>
      Object.values(fake.dump()).some((rules) => rules.some((rule) => rule.includes(text))),
  };
}

t.test('first everything, then nothing, then only what changed', async (t) => {
  const s = await start([...cart, b, bSlice]);
  const first = await s.run();
  t.match(first, { family: 'IPv4', kind: 'full', written: 2 });
  t.equal(first.transactions, s.fake.commits);
  const inputs = s.fake.inputs.length;
  t.match(await s.run(), { kind: 'none', written: 0, transactions: 0 });
  t.equal(s.fake.inputs.length, inputs, 'nothing was asked');

  s.table.apply([upsert(slice([endpoint('10.244.0.1'), endpoint('10.244.0.2')]))]);
  t.match(await s.run(), { kind: 'partial', written: 1, transactions: 1 });
  t.notMatch(
    s.last(),
    /shop\/b|--to-destination 10\.244\.0\.1:|KUBE-SERVICES|filter/,
    'neither others nor what stays as it was',
  );
  t.match(s.last(), /--to-destination 10\.244\.0\.2:8080/);
});

t.test('from endpoints to none and back', async (t) => {
  const s = await start(cart);
  await s.run();
  s.table.apply([remove(slice([]))]);
  await s.run();
  t.ok(s.has('shop/cart has no endpoints'));
  t.notOk(
    Object.keys(s.fake.dump()).some((chain) => /KUBE-(SVC|SEP)-/.test(chain)),
    'its chains are gone',
  );
  s.table.apply([upsert(slice([endpoint('10.244.0.1')]))]);
  await s.run();
  t.notOk(s.has('shop/cart has no endpoints'));
  t.ok(s.has('10.244.0.1:8080'));
});

t.test('a failed partial sync is followed by a full one at once', async (t) => {
  const s = await start(cart);
  await s.run();
  s.fake.flush();
  s.table.apply([remove(slice([])), upsert(b)]);
  t.match(await s.run(), { kind: 'full' }, 'the rule to remove was not there');
  t.ok(s.has('shop/b has no endpoints'));
  t.same(s.sync.problems, []);
  t.strictSame(s.failed, ['partial'], 'it is told of, although all went well in the end');
});

t.test('the lock is held: the sync rejects, nobody is blamed, the next one does it all', async (t) => {
  for (const after of [0, 1]) {
    const s = await start([...cart, b]);
    s.fake.lockedAfter = after;
    await t.rejects(s.run(), { code: 'PENSTOCK_RESTORE_REFUSED', transient: true });
    t.same(s.sync.problems, []);
    t.match(await s.run(), { kind: 'full', written: 2 });
    s.table.apply([remove(b)]);
    s.fake.lockedAfter = 0;
    await t.rejects(s.run(), { code: 'PENSTOCK_RESTORE_REFUSED', transient: true });
    t.match(await s.run(), { kind: 'full', written: 1 });
    t.notOk(s.has('shop/b'));
    t.strictSame(s.failed, ['full', 'partial']);
    t.equal(s.fake.dump()['filter INPUT']?.length, 4, 'jumps are there once');
  }
});

t.test('how many rules there are, and how many a sync wrote', async (t) => {
  const s = await start([...cart, b, bSlice]);
  const inKernel = (table: string) =>
    Object.entries(s.fake.dump())
      .filter(([chain]) => chain.startsWith(`${table} KUBE-`))
      .reduce((sum, [, rules]) => sum + rules.length, 0);
  const expected = (filter: number, nat: number) => [
    { table: 'filter', total: inKernel('filter'), written: filter },
    { table: 'nat', total: inKernel('nat'), written: nat },
  ];
  const first = await s.run();
  t.strictSame(first.rules, expected(inKernel('filter'), inKernel('nat')), 'all of them at first');
  t.strictSame((await s.run()).rules, expected(0, 0), 'nothing written, and they are still there');

  s.table.apply([upsert(slice([endpoint('10.244.0.1'), endpoint('10.244.0.2')]))]);
  // The new endpoint's two, and three in the chain of the service port.
  t.strictSame((await s.run()).rules, expected(0, 5));
  s.table.apply([remove(slice([]))]);
  t.strictSame((await s.run()).rules, expected(1, 0), 'a refusal in place of all that');
  s.table.apply([remove(service()), remove(b), remove(bSlice)]);
  t.strictSame((await s.run()).rules, expected(0, 0));
  t.equal(inKernel('nat'), 5, 'what is the same for all: masquerading, and the way to node ports');
});

for (const backend of ['nft', 'legacy'] as const) {
  t.test(`${backend}: a refused Service is set aside, named, tried again later and later`, async (t) => {
    const s = await start([...cart, b, bSlice], backend);
    s.fake.refuses = (rule) => rule.includes('shop/cart');
    await s.run();
    t.ok(s.has('shop/b cluster IP'), 'the other one is served');
    t.equal(s.sync.problems.length, 1);
    const [problem] = s.sync.problems;
    t.equal(problem?.subject, 'Service shop/cart');
    t.match(problem?.message, /^port 80\/TCP \(IPv4\) is set aside, .*iptables-restore refused the rules/);
    t.match(problem?.message, /Tried again in 1 s/);
    t.equal(s.fake.dump()['filter INPUT']?.length, 4, 'jumps are there once');
    t.notOk(
      Object.keys(s.fake.dump()).some((chain) => chain.includes('PROBE')),
      'the search left nothing behind',
    );

    s.clock.now = RETRY_MS - 1;
    t.match(await s.run(), { kind: 'none' }, 'not yet');
    s.clock.now = RETRY_MS;
    await s.run();
    t.match(s.sync.problems[0]?.message, /Tried again in 2 s/);
    s.fake.refuses = () => false;
    s.clock.now += 2 * RETRY_MS - 1;
    t.match(await s.run(), { kind: 'none' });
    s.clock.now += 1;
    t.match(await s.run(), { kind: 'partial', written: 1 });
    t.same(s.sync.problems, []);
    t.ok(s.has('shop/cart cluster IP'));
  });

  t.test(`${backend}: refused after it was good, it keeps its last good rules`, async (t) => {
    const s = await start([...cart, b, bSlice], backend);
    await s.run();
    s.fake.refuses = (rule) => rule.includes('10.244.0.2:8080');
    s.table.apply([upsert(slice([endpoint('10.244.0.2')])), remove(bSlice)]);
    await s.run();
    t.ok(s.has('--to-destination 10.244.0.1:8080'));
    t.ok(s.has('shop/b has no endpoints'), 'the change of the other one is done');
    t.same(
      s.sync.problems.map((p) => p.subject),
      ['Service shop/cart'],
    );
    s.table.apply([upsert(slice([endpoint('10.244.0.3')]))]);
    await s.run();
    t.same(s.sync.problems, [], 'a change of the object ends it');
    t.ok(s.has('--to-destination 10.244.0.3:8080'));
  });

  t.test(`${backend}: two refused Services of three`, async (t) => {
    const c = service({ name: 'c', clusterIPs: { IPv4: ip('10.96.0.12') } });
    const s = await start([...cart, b, c], backend);
    s.fake.refuses = (rule) => /shop\/(cart|c) /.test(rule);
    await s.run();
    t.same(s.sync.problems.map((p) => p.subject).sort(), ['Service shop/c', 'Service shop/cart']);
    t.ok(s.has('shop/b has no endpoints'));
  });

  t.test(`${backend}: what belongs to no Service is nobody's fault`, async (t) => {
    const s = await start(cart, backend);
    s.fake.refuses = (rule) => rule.includes('MASQUERADE');
    await t.rejects(s.run(), { code: 'PENSTOCK_RESTORE_REFUSED', transient: false });
    t.same(s.sync.problems, []);
    s.fake.refuses = () => false;
    t.match(await s.run(), { kind: 'full', written: 1 });
  });
}

t.test('in a large cluster the next full sync leaves out the comments of endpoint rules', async (t) => {
  const many = Array.from({ length: LARGE_CLUSTER_ENDPOINTS }, (_, i) =>
    endpoint(`10.244.${i >> 8}.${i & 255}`),
  );
  const s = await start([service(), slice(many), b, bSlice]);
  const isCommented = (name: string) => s.has(`"shop/${name} -> `);
  s.table.apply([remove(bSlice)]);
  await s.run();
  t.ok(isCommented('cart'), '1,000 endpoints are not many');
  s.table.apply([upsert(bSlice)]);
  t.match(await s.run(), { kind: 'partial' });
  t.ok(isCommented('cart'), 'crossing the limit rewrites nothing');
  t.notOk(isCommented('b'));
  s.sync.requireFull();
  await s.run();
  t.notOk(isCommented('cart'));
});

t.test('verification sees what others did', async (t) => {
  const nodePorted = service({ type: 'NodePort', ports: [port({ nodePort: 30001 })] });
  const cases: readonly [
    name: string,
    input: string,
    anchors: RegExp | undefined,
    counts: RegExp | undefined,
  ][] = [
    ['nothing', '', undefined, undefined],
    ['rules of others', '*filter\n:X - [0:0]\n-A INPUT -j X\nCOMMIT\n', undefined, undefined],
    [
      'a jump gone',
      '*nat\n-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\nCOMMIT\n',
      /the jump from PREROUTING to KUBE-SERVICES \(table nat\) is gone/,
      undefined,
    ],
    [
      'a shared chain emptied',
      '*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n',
      /KUBE-SERVICES.* has 0 rules instead of 2/,
      /has 0 rules/,
    ],
    [
      'the guard of 127.0.0.0/8 gone',
      '*filter\n:KUBE-FIREWALL - [0:0]\nCOMMIT\n',
      undefined,
      /KUBE-FIREWALL.* is gone/,
    ],
    [
      'a fixed chain longer',
      '*nat\n-A KUBE-MARK-MASQ -j RETURN\nCOMMIT\n',
      /KUBE-MARK-MASQ.* has 2 rules instead of 1/,
      /has 2 rules/,
    ],
  ];
  for (const [name, input, anchors, counts] of cases) {
    const s = await start([nodePorted, slice([endpoint('10.244.0.1')])]);
    await s.run();
    if (input !== '') s.fake.write(input);
    for (const [verify, expected] of [
      [verifyAnchors, anchors],
      [verifyCounts, counts],
    ] as const) {
      const found = await verify(s.tool, s.sync.rules, s.settings());
      if (expected) t.match(found, expected, `${name}, ${verify.name}`);
      else t.equal(found, undefined, `${name}, ${verify.name}`);
    }
  }

  const s = await start([nodePorted, slice([endpoint('10.244.0.1')])]);
  await s.run();
  const own = Object.keys(s.fake.dump())
    .find((chain) => chain.startsWith('nat KUBE-SEP-'))
    ?.slice(4);
  s.fake.write(`*nat\n:${own} - [0:0]\nCOMMIT\n`);
  t.equal(await verifyAnchors(s.tool, s.sync.rules, s.settings()), undefined);
  t.match(
    await verifyCounts(s.tool, s.sync.rules, s.settings()),
    /has 0 rules instead of 2; it belongs to shop\/cart\/TCP/,
  );
  s.fake.flush();
  t.match(await verifyAnchors(s.tool, s.sync.rules, s.settings()), /is gone/);
  t.match(await verifyCounts(s.tool, s.sync.rules, s.settings()), /is gone/);
});
