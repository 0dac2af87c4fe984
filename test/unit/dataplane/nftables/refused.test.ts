/** A kernel that refuses some service ports: the others are served, and it is told which and why. */
import t from 'tap';
import {
  type NftablesOptions,
  nftablesSettings,
} from '../../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { FamilySync } from '../../../../src/dataplane/nftables/FamilySync.js';
import { findRefused } from '../../../../src/dataplane/nftables/findRefused.js';
import { PenstockError } from '../../../../src/errors.js';
import { ipKey } from '../../../../src/kernel/nftables/dataTypes.js';
import type { Transaction } from '../../../../src/kernel/nftables/Transaction.js';
import type { NftablesTable } from '../../../../src/kernel/nftables/table/NftablesTable.js';
import { endpoint, ip, remove, service, slice, tableOf, upsert } from '../../../support/builders.js';

const OPTIONS: NftablesOptions = {
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  nodePortAddresses: [],
  detectLocal: { type: 'None' },
  answerPing: true,
  counters: false,
};

const web = (n: number) => service({ name: `web${n}`, clusterIPs: { IPv4: ip(`10.96.0.${n}`) } });
const webSlice = (n: number, address = `10.1.0.${n}`) =>
  slice([endpoint(address)], { name: `web${n}-1`, serviceName: `web${n}` });
const world = (count: number) =>
  tableOf(Array.from({ length: count }, (_, i) => [web(i + 1), webSlice(i + 1)]).flat());

const settingsOf = (table: ReturnType<typeof tableOf>) =>
  nftablesSettings(OPTIONS, 'IPv4', table, { addresses: [], localhostPorts: {} });

/** Whether a transaction adds something for one of these VIPs. */
function touches(transaction: Transaction, vips: ReadonlySet<string>): boolean {
  return [...transaction.newElements.values()].some(({ keys }) =>
    keys.some((key) => [...vips].some((vip) => key.startsWith(vip))),
  );
}

class PickyTable {
  readonly family = 'IPv4';
  readonly name = 'penstock';
  readonly refused = new Set<string>();
  readonly transactions: Transaction[] = [];
  checks = 0;

  get committed(): number {
    return this.transactions.length;
  }

  async readState(): Promise<undefined> {
    return undefined;
  }

  async check(transaction: Transaction): Promise<Error | undefined> {
    this.checks++;
    return touches(transaction, this.refused) ? new Error('EINVAL (invalid argument)') : undefined;
  }

  async commit(transaction: Transaction): Promise<void> {
    const error = await this.check(transaction);
    if (error) throw new PenstockError('PENSTOCK_NFTABLES_REFUSED', error.message);
    this.transactions.push(transaction);
  }
}

const keyOf = (n: number) => ipKey(ip(`10.96.0.${n}`));

t.test('those at fault are found, however many there are among others', async (t) => {
  const table = world(50);
  table.commit();
  const ports = [...table.servicePorts('IPv4').values()];
  for (const bad of [[], [1], [50], [7, 8], [1, 25, 50], [10, 20, 30, 40]]) {
    const picky = new PickyTable();
    for (const n of bad) picky.refused.add(keyOf(n));
    const found = await findRefused(ports, settingsOf(table), (transaction) => picky.check(transaction));
    t.same(
      found.map(({ port, error }) => [port.service, error.message]),
      bad.map((n) => [`web${n}`, 'EINVAL (invalid argument)']),
    );
    t.ok(picky.checks <= 2 + 14 * Math.max(1, bad.length), `${picky.checks} questions for ${bad.length}`);
  }
});

t.test('when the kernel refuses everything, no service port is blamed', async (t) => {
  const table = world(100);
  table.commit();
  const ports = [...table.servicePorts('IPv4').values()];
  t.same(await findRefused(ports, settingsOf(table), async () => new Error('ENOMEM')), []);
  const notEmpty = async (transaction: Transaction) =>
    [...transaction.newElements.values()].some(({ keys }) => keys.length > 0)
      ? new Error('EINVAL')
      : undefined;
  t.same(await findRefused(ports, settingsOf(table), notEmpty), [], 'nor when it refuses each of them');
});

t.test('the others are written, and a refused one is tried again when it changes', async (t) => {
  const picky = new PickyTable();
  picky.refused.add(keyOf(2));
  let now = 0;
  const sync = new FamilySync(picky as unknown as NftablesTable, () => now);
  const table = world(3);
  const run = async () => {
    sync.take(table.commit().families.IPv4);
    return sync.sync(table.servicePorts('IPv4'), settingsOf(table));
  };
  t.match(await run(), { kind: 'full' });
  const [first] = picky.transactions;
  t.ok(first && touches(first, new Set([keyOf(1)])) && touches(first, new Set([keyOf(3)])));
  t.notOk(first && touches(first, new Set([keyOf(2)])), 'without the refused one');
  const [problem] = sync.problems;
  t.equal(problem?.subject, 'Service shop/web2');
  t.match(problem?.message, /port 80\/TCP \(IPv4\) is set aside, all others are programmed\. EINVAL/);

  table.apply([upsert(webSlice(1, '10.1.0.99'))]);
  t.match(await run(), { kind: 'partial' }, 'a change of another is a small one');
  t.equal(sync.problems.length, 1);

  picky.refused.clear();
  table.apply([upsert(webSlice(2, '10.1.0.77'))]);
  t.match(await run(), { kind: 'partial' });
  const last = picky.transactions.at(-1);
  t.ok(last && touches(last, new Set([keyOf(2)])), 'it is written whole');
  t.same(
    [...(last?.deletedElements.values() ?? [])],
    [],
    'and nothing of it is deleted, as nothing was there',
  );
  t.same(sync.problems, []);

  picky.refused.add(keyOf(3));
  table.apply([upsert(webSlice(3, '10.1.0.88'))]);
  await t.rejects(run(), { code: 'PENSTOCK_NFTABLES_REFUSED' }, 'a change that is refused');
  t.match(await run(), { kind: 'full' }, 'is looked into with the next sync');
  t.equal(sync.problems.length, 1);
  picky.refused.clear();
  now = 600_001;
  t.match(await run(), { kind: 'full' }, 'after ten minutes it is tried again as it is');
  t.same(sync.problems, []);

  picky.refused.add(keyOf(1));
  table.apply([remove(web(3))]);
  t.match(await run(), { kind: 'partial' }, 'to go is never refused');
});

t.test(
  'what the kernel lacks for a moment is no fault of a Service: asked again, and soon tried again',
  async (t) => {
    const table = world(3);
    const changes = table.commit();
    const short = () => Object.assign(new Error('ENOBUFS (no buffer space available)'), { code: 'ENOBUFS' });
    const ports = [...table.servicePorts('IPv4').values()];
    for (const [times, found] of [
      [1, 0],
      [2, 0],
      [3, 1],
    ] as const) {
      // Of those that are asked about alone, the first.
      let left = times;
      const check = async (transaction: Transaction) => {
        const some = ports.filter(
          ({ clusterIP }) => clusterIP && touches(transaction, new Set([ipKey(clusterIP)])),
        );
        if (some.length === 0) return undefined;
        if (some.length > 1) return short();
        return left-- > 0 ? short() : undefined;
      };
      const refused = await findRefused(ports, settingsOf(table), check);
      t.equal(refused.length, found, `refused ${times} times`);
    }

    const picky = new PickyTable();
    picky.check = async (transaction) => (touches(transaction, picky.refused) ? short() : undefined);
    picky.refused.add(keyOf(2));
    let now = 0;
    const sync = new FamilySync(picky as unknown as NftablesTable, () => now);
    sync.take(changes.families.IPv4);
    await sync.sync(table.servicePorts('IPv4'), settingsOf(table));
    t.match(sync.problems, [{ subject: /web2/, message: /ENOBUFS.*Tried again in 30 s/ }]);
    picky.refused.clear();
    now += 30_000;
    await sync.sync(table.servicePorts('IPv4'), settingsOf(table));
    t.same(sync.problems, []);
  },
);
