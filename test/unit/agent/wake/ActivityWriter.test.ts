/** When a node writes its Lease, and what it says in it. */
import t, { type Test } from 'tap';
import { ActivityWriter } from '../../../../src/agent/wake/ActivityWriter.js';
import { FakeClock } from '../../../support/FakeClock.js';

interface Lease {
  readonly metadata: {
    readonly annotations: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly object[];
  };
}

function world(t: Test, answer: (lease: Lease, method: string) => number = () => 200) {
  const clock = new FakeClock();
  const written: { readonly at: number; readonly text: string; readonly owners: unknown }[] = [];
  const troubles: (string | undefined)[] = [];
  const writer = new ActivityWriter({
    api: {
      send: async (method, _, body) => {
        const { metadata } = body as Lease;
        const text = metadata.annotations['penstock.io/active'] ?? '';
        written.push({ at: clock.now(), text, owners: metadata.ownerReferences });
        return answer(body as Lease, method);
      },
    },
    namespace: 'kube-system',
    node: 'node1',
    nodeUid: () => 'uid-of-node1',
    clock,
    onTrouble: (why) => troubles.push(why),
  });
  t.teardown(() => writer.stop());
  return { clock, writer, written, troubles };
}

const web = (connections: number) => new Map([['shop/web', connections]]);

t.test('figures are told every ten seconds at most, Services at once', async (t) => {
  const { clock, writer, written } = world(t);
  for (let i = 1; i <= 60; i++) {
    writer.looked(web(i));
    await clock.pass(1000);
  }
  t.ok(
    written.length >= 6 && written.length <= 7,
    `${written.length} writings in 60 s of other figures each`,
  );
  const before = written.length;
  writer.looked(new Map([...web(60), ['shop/cart', 1]]));
  // Two writings are 200 ms apart.
  await clock.pass(250);
  t.equal(written.length, before + 1);
  t.match(written.at(-1)?.text, /shop\/cart/);
});

t.test('it is renewed every 20 s, whoever looks, or does not', async (t) => {
  const { clock, writer, written } = world(t);
  writer.looked(web(3));
  await clock.pass(1000);
  writer.looked(undefined);
  await clock.pass(200_000);
  const gaps = written.slice(1).map(({ at }, i) => at - (written[i]?.at ?? 0));
  t.ok(gaps.length >= 9 && Math.max(...gaps) <= 21_000, `${gaps}`);
  t.ok(
    written.every(({ text }) => text === '{"shop/web":{"connections":3}}'),
    'a look that fails takes nothing back',
  );
});

t.test('before the first look it does not say that there is nothing', async (t) => {
  const { clock, writer, written } = world(t);
  await clock.pass(60_000);
  t.equal(written.length, 0, 'nobody has anything to tell');
  writer.looked(undefined);
  await clock.pass(1000);
  writer.waits('shop/cart');
  await clock.pass(1000);
  writer.looked(new Map());
  await clock.pass(20_000);
  t.strictSame(
    written.map(({ text }) => text),
    [
      '{"?":{}}',
      '{"?":{},"shop/cart":{"connections":0,"waits":true}}',
      '{"shop/cart":{"connections":0,"waits":true}}',
      '{}',
    ],
    'and who waits is forgotten without a look',
  );
});

t.test('it belongs to the Node, where that may be said', async (t) => {
  const owner = { apiVersion: 'v1', kind: 'Node', name: 'node1', uid: 'uid-of-node1' };
  const { clock, writer, written } = world(t);
  writer.looked(web(1));
  await clock.pass(1000);
  t.strictSame(written[0]?.owners, [owner]);
  const strict = world(t, ({ metadata }) => (metadata.ownerReferences ? 403 : 200));
  strict.writer.looked(web(1));
  await strict.clock.pass(50_000);
  t.strictSame(strict.troubles, []);
  t.strictSame(
    strict.written.map(({ owners }) => owners !== undefined),
    [true, false, false, false],
  );
});

t.test('what is refused is tried again, and told once with its remedy', async (t) => {
  let status = 403;
  const { clock, writer, written, troubles } = world(t, () => status);
  writer.looked(web(1));
  await clock.pass(35_000);
  t.equal(written.length, 8, 'every ten seconds, each with and without its owner');
  status = 200;
  await clock.pass(10_000);
  t.equal(troubles.length, 2);
  t.match(troubles[0], /answers 403.*Role penstock-wake-share of deploy\/scaler/);
  t.equal(troubles[1], undefined);
});

t.test('too many Services to name are told of as seldom as nothing', async (t) => {
  const { clock, writer, written } = world(t);
  for (let i = 0; i < 40; i++) {
    writer.looked(new Map(Array.from({ length: 1501 }, (_, each) => [`shop/web-${i}-${each}`, i])));
    await clock.pass(1000);
  }
  t.ok(written.length <= 3, `${written.length} writings`);
  t.ok(written.every(({ text }) => text === '*'));
});
