/** A table that is written in several transactions is the one that a full look wants: an agent that adopts it changes nothing. */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import type { ApiObject } from '../../../src/objects/ApiObject.js';
import type { Service } from '../../../src/objects/Service.js';
import { endpoint, ip, port, service, serviceCIDR, slice, tableOf, upsert } from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { OPTIONS, openDataplane } from '../../support/nftablesWorld.js';

const SERVICES = 500;
const ENDPOINTS = 64;

const KINDS: readonly ((n: number) => Partial<Service>)[] = [
  () => ({}),
  (n) => ({ type: 'NodePort', ports: [port({ nodePort: 30_000 + n })] }),
  (n) => ({ externalIPs: [ip(`198.51.${n >> 8}.${n & 255}`)], externalTrafficPolicy: 'Local' }),
  (n) => ({ affinitySeconds: 100 + (n % 3) }),
  () => ({ options: { algorithm: 'round-robin' } }),
  () => ({ options: { algorithm: 'source-hash' } }),
];

/** Each with a table of 4093 entries. */
function maglevOf(count: number, endpoints: number): ApiObject[] {
  return Array.from({ length: count }, (_, n) => [
    service({
      name: `m${n}`,
      clusterIPs: { IPv4: ip(`10.96.200.${n}`) },
      options: { algorithm: 'maglev' },
    }),
    slice(
      Array.from({ length: endpoints }, (_, i) => endpoint(`10.2.${n}.${i}`)),
      { name: `m${n}-1`, serviceName: `m${n}` },
    ),
  ]).flat();
}

function objectsOf(count: number, endpoints = ENDPOINTS): ApiObject[] {
  return Array.from({ length: count }, (_, n) => [
    service({
      name: `s${n}`,
      clusterIPs: { IPv4: ip(`10.96.${n >> 8}.${n & 255}`) },
      ...KINDS[n % KINDS.length]?.(n),
    }),
    slice(
      Array.from({ length: endpoints }, (_, i) => endpoint(`10.1.${n >> 3}.${(n & 1) * 64 + i}`)),
      { name: `s${n}-1`, serviceName: `s${n}` },
    ),
  ]).flat();
}

/** How the table stands after each of its transactions, their elements, its listings, and one transaction that fails. */
class StandingTable extends NftablesTable {
  readonly stands: string[] = [];
  readonly sizes: number[] = [];
  readonly listed: string[] = [];
  failing = 0;

  override async commit(transaction: Parameters<NftablesTable['commit']>[0]) {
    if (this.stands.length + 1 === this.failing) {
      this.failing = 0;
      throw new Error('the test lets it fail');
    }
    await super.commit(transaction);
    this.stands.push(standing());
    this.sizes.push([...transaction.newElements.values()].reduce((sum, { keys }) => sum + keys.length, 0));
  }

  override async listElements(set: Parameters<NftablesTable['listElements']>[0]) {
    this.listed.push(set.name);
    return super.listElements(set);
  }
}

/** Behind others or in front of them, and whether it drops what it does not know. */
function standing(): string {
  const text = execFileSync('nft', ['-t', 'list', 'table', 'ip', TABLE], { encoding: 'utf8' });
  const [, priority = ''] = /hook prerouting priority ([^;]*);/.exec(text) ?? [];
  return `${priority}${text.includes('goto drop-unused-ip') ? ', drops' : ''}`;
}

function openStanding() {
  const tables: StandingTable[] = [];
  const dataplane = openDataplane(OPTIONS, ['IPv4'], (channel, family) => {
    const table = new StandingTable(channel, family, TABLE);
    tables.push(table);
    return table;
  });
  return { dataplane, table: tables[0] as StandingTable };
}

const BEHIND = 'dstnat + 5';
const FRONT = 'dstnat - 5, drops';

if (await inNetns(import.meta.url)) {
  t.test('a table that is not whole stands behind others and drops nothing', async (t) => {
    const { dataplane, table } = openStanding();
    const routing = tableOf([
      ...objectsOf(SERVICES),
      ...maglevOf(9, 10),
      serviceCIDR('default', '10.96.0.0/16'),
    ]);
    const changes = routing.commit();
    table.failing = 2;
    await t.rejects(dataplane.sync(routing, changes), /the test lets it fail/);
    t.strictSame(table.stands, [BEHIND], 'the second portion failed');
    table.sizes.length = 0;
    await dataplane.sync(routing, { ...changes, families: { IPv4: [], IPv6: [] } });
    t.strictSame(table.stands, [...table.stands.slice(1).map(() => BEHIND), FRONT], 'the rest has come');
    t.ok(table.sizes.length >= 3, `in portions too: ${table.sizes}`);
    t.ok(
      table.sizes.every((size) => size <= 32_768),
      'none larger than at first',
    );
    await dataplane.close();
    execFileSync('nft', ['delete', 'table', 'ip', TABLE]);
  });

  t.test('it moves in front in its last transaction', async (t) => {
    const { dataplane, table } = openStanding();
    const routing = tableOf([...objectsOf(SERVICES), serviceCIDR('default', '10.96.0.0/16')]);
    await dataplane.sync(routing, routing.commit());
    t.ok(table.stands.length >= 3);
    t.strictSame(table.stands, [...table.stands.slice(1).map(() => BEHIND), FRONT]);
    await dataplane.close();
    execFileSync('nft', ['delete', 'table', 'ip', TABLE]);
  });

  t.test('tables of maglev that change take turns, and at the end none waits', async (t) => {
    const { dataplane, table } = openStanding();
    const routing = tableOf([...objectsOf(6), ...maglevOf(6, 10)]);
    await dataplane.sync(routing, routing.commit());
    const change = (endpoints: number) => {
      routing.apply([...maglevOf(6, endpoints), ...objectsOf(6, endpoints)].map(upsert));
      return routing.commit();
    };
    const waitingOf = async (changes: ReturnType<typeof change>) => {
      const { families } = await dataplane.sync(routing, changes);
      return families.flatMap(({ waiting }) => waiting ?? []).map(({ key }) => key);
    };
    const first = await waitingOf(change(9));
    t.ok(first.length > 0 && first.length < 4, `${first.length} wait`);
    t.ok(first.every((key) => key.startsWith('shop/m')));
    const again = await waitingOf(change(8));
    t.notOk(again.includes(first[0] ?? ''), 'who waited is next');
    let waiting = again;
    for (let i = 0; i < 6 && waiting.length > 0; i++) waiting = await waitingOf(routing.commit());
    t.strictSame(waiting, []);
    await waitingOf(change(7));
    await dataplane.standBack(routing);
    t.equal(table.stands.at(-1), BEHIND);
    const { dataplane: other, table: seen } = openStanding();
    await other.sync(routing, routing.commit());
    await other.close();
    t.strictSame(seen.sizes, [0], 'all was in force: elements are as they must be');
    await dataplane.close();
    execFileSync('nft', ['delete', 'table', 'ip', TABLE]);
  });

  t.test(
    'entries of affinity are looked through twice for a sync, however many portions it has',
    async (t) => {
      const { dataplane, table } = openStanding();
      const sticky = (endpoints: number) =>
        objectsOf(SERVICES, endpoints).map((object) =>
          object.kind === 'Service' ? { ...object, affinitySeconds: 100 } : object,
        );
      const routing = tableOf(sticky(ENDPOINTS));
      await dataplane.sync(routing, routing.commit());
      table.listed.length = 0;
      routing.apply(sticky(ENDPOINTS - 1).map(upsert));
      const { families } = await dataplane.sync(routing, routing.commit());
      t.ok((families[0]?.transactions ?? 0) >= 2, `${families[0]?.transactions} transactions`);
      t.strictSame(
        table.listed.filter((name) => name === 'affinity'),
        ['affinity', 'affinity'],
      );
      await dataplane.close();
      execFileSync('nft', ['delete', 'table', 'ip', TABLE]);
    },
  );

  t.test('many Services of all kinds', async (t) => {
    const objects = objectsOf(SERVICES);
    const table = tableOf(objects);
    const changes = table.commit();
    const first = openDataplane();
    const { families } = await first.sync(table, changes);
    t.ok((families[0]?.transactions ?? 0) >= 2, `${families[0]?.transactions} transactions`);
    await first.close();
    const second = openDataplane();
    const adopted = await second.sync(table, changes);
    t.strictSame(
      adopted.families.map(({ kind }) => kind),
      ['none', 'none'],
    );
    await second.close();
  });
}
