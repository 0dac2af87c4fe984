import { readFileSync } from 'node:fs';
import t from 'tap';
import { operatorText } from '../../../../src/observe/metrics/operatorMetrics.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../../support/builders.js';
import { fromRoot } from '../../../support/fromRoot.js';

const table = tableOf([
  service({ name: 'cart', clusterIPs: { IPv4: ip('10.96.0.10') }, ports: [port()] }),
  service({ name: 'empty', clusterIPs: { IPv4: ip('10.96.0.11') }, ports: [port()] }),
  slice([endpoint('10.244.0.1')]),
]);
table.commit();
const text = operatorText({
  mode: 'ipvs',
  table,
  problems: [
    { subject: 'Service shop/a', message: 'x' },
    { subject: 'Service shop/b', message: 'y', severity: 'note' },
  ],
  conntrack: { used: 7, limit: 100 },
});

t.test('what an operator alerts on', async (t) => {
  for (const line of [
    'penstock_mode_info{mode="ipvs"} 1',
    'penstock_service_ports{ip_family="IPv4"} 2',
    'penstock_service_ports{ip_family="IPv6"} 0',
    'penstock_service_ports_without_endpoints{ip_family="IPv4"} 1',
    'penstock_problems 1',
    'penstock_conntrack_entries 7',
    'penstock_conntrack_limit 100',
  ])
    t.ok(text.split('\n').includes(line), line);
  const unknown = operatorText({ mode: '', table, problems: [], conntrack: undefined });
  t.notMatch(unknown, 'conntrack', 'not 0 where it is not known');
});

t.test('docs/metrics.md has all of them', async (t) => {
  const docs = readFileSync(fromRoot('docs/metrics.md'), 'utf8');
  for (const [, name = ''] of text.matchAll(/^# TYPE (\w+) /gm)) t.match(docs, `| \`${name}\` | gauge |`);
});
