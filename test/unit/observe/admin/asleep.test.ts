import t from 'tap';
import type { IpAddress } from '../../../../src/net/ip.js';
import { tableStatus } from '../../../../src/observe/admin/AgentStatus.js';
import { lacksSomething, serviceRows } from '../../../../src/observe/admin/serviceRows.js';
import { operatorText } from '../../../../src/observe/metrics/operatorMetrics.js';
import { endpoint, service, slice, tableOf } from '../../../support/builders.js';

const WAKES = { options: { wake: 'hold' } };
const vip = (last: number) => ({ clusterIPs: { IPv4: `172.30.0.${last}` as IpAddress } });
const table = tableOf([
  service({ name: 'sleeps', ...vip(1), ...WAKES }),
  service({ name: 'awake', ...vip(2), ...WAKES }),
  slice([endpoint('10.1.0.1')], { name: 'awake-1', serviceName: 'awake' }),
  service({ name: 'empty', ...vip(3) }),
]);
table.commit();

t.test('a Service whose address belongs to another one is not well', async (t) => {
  const shared = { clusterIPs: {}, externalIPs: ['192.0.2.10' as IpAddress] };
  const both = tableOf(
    ['first', 'second'].flatMap((name) => [
      service({ name, ...shared }),
      slice([endpoint('10.1.0.1')], { name: `${name}-1`, serviceName: name }),
    ]),
  );
  both.commit();
  const rows = await serviceRows(both, 'nftables');
  t.strictSame(
    rows.map((row) => [row.service, row.state, lacksSomething(row)]),
    [
      ['shop/first', 'ok', false],
      ['shop/second', 'no address', true],
    ],
  );
  t.match((await tableStatus(both, 'nftables')).counts, { servicePorts: 2, withoutEndpoints: 0 });
});

t.test(
  'a Service whose first packet wakes somebody lacks nothing, unless the mode holds no packets',
  async (t) => {
    const states = async (mode: string) =>
      Object.fromEntries(
        (await serviceRows(table, mode)).map((row) => [row.service, [row.state, lacksSomething(row)]]),
      );
    const refused = ['no endpoints', true];
    t.strictSame(await states('nftables'), {
      'shop/awake': ['ok', false],
      'shop/empty': refused,
      'shop/sleeps': ['asleep', false],
    });
    t.strictSame(await states('ipvs'), {
      'shop/awake': ['ok', false],
      'shop/empty': refused,
      'shop/sleeps': refused,
    });
    const { counts, withoutEndpoints } = await tableStatus(table, 'nftables');
    t.match(counts, { servicePorts: 3, withoutEndpoints: 1, asleep: 1 });
    t.match(withoutEndpoints, [/^shop\/empty/]);
    t.match((await tableStatus(table, 'ipvs')).counts, { withoutEndpoints: 2, asleep: 0 });
    const refuses = (mode: string) =>
      /service_ports_without_endpoints\{ip_family="IPv4"\} (\d)/.exec(
        operatorText({ mode, table, problems: [], conntrack: undefined }),
      )?.[1];
    t.same([refuses('userspace'), refuses('ipvs')], ['1', '2']);
  },
);
