/** What commands ask of an agent with many Services is worked out in turns, and comes to the same. */
import fc from 'fast-check';
import t from 'tap';
import { tableStatus } from '../../../../src/observe/admin/AgentStatus.js';
import { type ServiceRow, serviceRows } from '../../../../src/observe/admin/serviceRows.js';
import { sortInTurns } from '../../../../src/observe/admin/sortInTurns.js';
import { NODE, routingChanges } from '../../../support/arbitraries.js';
import { tableOf } from '../../../support/builders.js';

/** Each piece of work takes a whole turn. */
class ShortTurns {
  taken = 0;

  isOver(): boolean {
    return true;
  }

  async next(): Promise<void> {
    this.taken++;
  }
}

t.test('rows are sorted by key, and those of one key stay in order', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.stringMatching(/^[a-c]{0,6}$/), { maxLength: 5000 }), async (keys) => {
      const rows = keys.map((key, number) => ({ key, number }));
      const sorted = await sortInTurns(rows, new ShortTurns());
      t.strictSame(
        sorted,
        [...rows].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.number - b.number)),
      );
    }),
    { numRuns: 50 },
  );
});

t.test('10,000 rows are sorted in pieces', async (t) => {
  const turns = new ShortTurns();
  const rows = Array.from({ length: 10_000 }, (_, i) => ({
    key: String((i * 7919) % 10_000).padStart(5, '0'),
  }));
  const sorted = await sortInTurns(rows, turns);
  t.strictSame(
    sorted.map(({ key }) => Number(key)),
    rows.map((_, i) => i),
  );
  t.ok(turns.taken >= 100, `${turns.taken} turns`);
});

/** What status counts, in the plainest way: of the rows. */
function countsOf(rows: readonly ServiceRow[]) {
  const of = (state: ServiceRow['state']) => rows.filter((row) => row.state === state);
  const samples = of('ok')
    .filter(({ protocol, clusterIPs }) => protocol === 'TCP' && clusterIPs.length > 0)
    .sort((a, b) => Number(b.service === 'default/kubernetes') - Number(a.service === 'default/kubernetes'));
  return {
    counts: {
      services: new Set(rows.map(({ service }) => service)).size,
      servicePorts: rows.length,
      endpoints: rows.reduce((sum, { endpoints }) => sum + endpoints.all, 0),
      withoutEndpoints: of('no endpoints').length,
      withoutLocalEndpoints: of('no local endpoints').length,
      asleep: of('asleep').length,
    },
    withoutEndpoints: of('no endpoints')
      .slice(0, 20)
      .map(({ key }) => key),
    samples: samples
      .slice(0, 3)
      .map(({ service, clusterIPs: [address = ''], port }) => ({ service, address, port })),
  };
}

t.test('status counts what the list of Services shows, and tries the first that can be tried', async (t) => {
  let tried = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(routingChanges, { maxLength: 40 }), async (changes) => {
      const table = tableOf([], { nodeName: NODE });
      table.apply(changes);
      table.commit();
      const turns = new ShortTurns();
      const status = await tableStatus(table, 'nftables', turns);
      t.strictSame(status, countsOf(await serviceRows(table, 'nftables')));
      t.equal(turns.taken, status.counts.servicePorts, 'each in its turn');
      tried += status.samples.length;
    }),
    { numRuns: 200 },
  );
  t.ok(tried > 0);
});
