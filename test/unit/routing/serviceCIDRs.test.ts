/** The ranges of cluster IPs that the table knows. */
import t from 'tap';
import { isEmpty } from '../../../src/routing/ChangeSet.js';
import type { RoutingTable } from '../../../src/routing/RoutingTable.js';
import { remove, service, serviceCIDR, tableOf, upsert } from '../../support/builders.js';

const ranges = (table: RoutingTable) => [table.serviceCIDRs('IPv4'), table.serviceCIDRs('IPv6')];

t.test('by family, sorted, each once, from the commit on', async (t) => {
  const table = tableOf([
    serviceCIDR('kubernetes', '10.96.0.0/16', 'fd00:96::/112'),
    serviceCIDR('more', '10.112.0.0/16', 'fd00:96::/112'),
    serviceCIDR('inner', '10.96.0.0/24'),
  ]);
  t.same(ranges(table), [[], []], 'nothing is committed');
  t.ok(table.hasPendingChanges);
  t.ok(isEmpty(table.commit()), 'no service port changed');
  t.notOk(table.hasPendingChanges);
  t.same(ranges(table), [['10.112.0.0/16', '10.96.0.0/16', '10.96.0.0/24'], ['fd00:96::/112']]);
});

t.test('a range is there as long as one object holds it', async (t) => {
  const [first, second] = [serviceCIDR('kubernetes', '10.96.0.0/16'), serviceCIDR('more', '10.96.0.0/16')];
  const table = tableOf([first, second]);
  table.commit();
  table.apply([remove(first)]);
  table.commit();
  t.same(ranges(table), [['10.96.0.0/16'], []]);
  table.apply([remove(second)]);
  t.ok(table.hasPendingChanges);
  table.commit();
  t.same(ranges(table), [[], []]);
});

t.test('an object that changes takes its old range with it', async (t) => {
  const table = tableOf([serviceCIDR('kubernetes', '10.96.0.0/16')]);
  table.commit();
  table.apply([upsert(serviceCIDR('kubernetes', '10.97.0.0/16'))]);
  table.commit();
  t.same(ranges(table), [['10.97.0.0/16'], []]);
});

t.test('the array is another one only when its contents are', async (t) => {
  const table = tableOf([serviceCIDR('kubernetes', '10.96.0.0/16', 'fd00:96::/112')]);
  table.commit();
  const [v4, v6] = ranges(table);
  table.apply([upsert(serviceCIDR('kubernetes', '10.96.0.0/16', 'fd00:96::/112'))]);
  table.commit();
  table.apply([upsert(service()), upsert(serviceCIDR('more', '10.96.0.0/16'))]);
  table.commit();
  t.equal(table.serviceCIDRs('IPv4'), v4);
  t.equal(table.serviceCIDRs('IPv6'), v6);
  table.apply([upsert(serviceCIDR('more', '10.97.0.0/16'))]);
  t.equal(table.serviceCIDRs('IPv4'), v4, 'not before the commit');
  table.commit();
  t.not(table.serviceCIDRs('IPv4'), v4);
  t.equal(table.serviceCIDRs('IPv6'), v6, 'nothing happened to the other family');
});

t.test('one that was never there can go', async (t) => {
  const table = tableOf([]);
  table.apply([remove(serviceCIDR('kubernetes', '10.96.0.0/16'))]);
  t.notOk(table.hasPendingChanges);
});

t.test('beside another proxy there are none: what we do not serve there is its own', async (t) => {
  const table = tableOf([serviceCIDR('kubernetes', '10.96.0.0/16')], { serviceProxyName: 'edge' });
  table.commit();
  t.same(ranges(table), [[], []]);
});
