/** A table that is written in several transactions is the one that a full look wants: an agent that adopts it changes nothing. */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import type { ApiObject } from '../../../src/objects/ApiObject.js';
import type { Service } from '../../../src/objects/Service.js';
import { endpoint, ip, port, service, serviceCIDR, slice, tableOf } from '../../support/builders.js';
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

function objectsOf(count: number): ApiObject[] {
  return Array.from({ length: count }, (_, n) => [
    service({
      name: `s${n}`,
      clusterIPs: { IPv4: ip(`10.96.${n >> 8}.${n & 255}`) },
      ...KINDS[n % KINDS.length]?.(n),
    }),
    slice(
      Array.from({ length: ENDPOINTS }, (_, i) => endpoint(`10.1.${n >> 3}.${(n & 1) * 64 + i}`)),
      { name: `s${n}-1`, serviceName: `s${n}` },
    ),
  ]).flat();
}

/** How the table stands after each of its transactions, and one transaction that fails. */
class StandingTable extends NftablesTable {
  readonly stands: string[] = [];
  failing = 0;

  override async commit(transaction: Parameters<NftablesTable['commit']>[0]) {
    if (this.stands.length + 1 === this.failing) {
      this.failing = 0;
      throw new Error('the test lets it fail');
    }
    await super.commit(transaction);
    this.stands.push(standing());
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
    const routing = tableOf([...objectsOf(SERVICES), serviceCIDR('default', '10.96.0.0/16')]);
    const changes = routing.commit();
    table.failing = 2;
    await t.rejects(dataplane.sync(routing, changes), /the test lets it fail/);
    t.strictSame(table.stands, [BEHIND], 'the second portion failed');
    await dataplane.sync(routing, { ...changes, families: { IPv4: [], IPv6: [] } });
    t.equal(table.stands.at(-1), FRONT, 'the rest has come');
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
