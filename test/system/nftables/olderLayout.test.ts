/**
 * A table that an older release left, in which every VIP was an element of a verdict map, becomes one of today's in a single
 * transaction: no connection fails meanwhile, and counts and session affinity go on.
 */
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import type { Service } from '../../../src/objects/Service.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../support/builders.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { openDataplane } from '../../support/nftablesWorld.js';

const ENDPOINTS = ['10.1.0.1', '10.1.0.2', '10.1.0.3'];
const OLDER = fileURLToPath(fromRoot('test/support/olderTable.nft'));

const SERVICES: readonly Service[] = [
  service({
    name: 'cart',
    type: 'NodePort',
    ports: [port({ name: 'http', nodePort: 30_080 })],
    externalIPs: [ip('192.0.2.80')],
  }),
  service({
    name: 'turns',
    clusterIPs: { IPv4: ip('10.96.0.11') },
    options: { algorithm: 'round-robin' },
  }),
  service({
    name: 'near',
    type: 'LoadBalancer',
    clusterIPs: { IPv4: ip('10.96.0.12') },
    externalTrafficPolicy: 'Local',
    affinitySeconds: 600,
    loadBalancerIngress: [{ ip: ip('198.18.0.12'), ipMode: 'VIP' }],
    ports: [port({ name: 'http', nodePort: 0 })],
  }),
  service({ name: 'hash', clusterIPs: { IPv4: ip('10.96.0.13') }, options: { algorithm: 'source-hash' } }),
];
const VIPS = ['10.96.0.10', '10.96.0.11', '10.96.0.12', '10.96.0.13', '192.0.2.80', '198.18.0.12'];

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(ENDPOINTS);
  const table = tableOf([
    ...SERVICES,
    ...SERVICES.map(({ name, ports }) =>
      slice(
        ENDPOINTS.map((address, i) => endpoint(address, { nodeName: i === 2 ? 'node2' : 'node1' })),
        {
          name: `${name}-1`,
          serviceName: name,
          ports: ports.map((each) => ({ name: each.name, protocol: each.protocol, port: 8080 })),
        },
      ),
    ),
  ]);
  const changes = table.commit();
  const AFFINITY = '203.0.113.5 . 198.18.0.12 . tcp . 80';

  t.test('an older table is taken over', async (t) => {
    shell(`nft -f ${OLDER}`);
    shell(`nft add element ip ${TABLE} affinity '{ ${AFFINITY} timeout 1h : 10.1.0.2 . 8080 }'`);
    const counted = /10\.96\.0\.10 \. tcp \. 80 counter packets 12 bytes 720 comment "shop\/cart:http"/;
    t.match(shell(`nft list map ip ${TABLE} service-ips`), counted);
    const dataplane = openDataplane(undefined, ['IPv4']);
    t.teardown(() => dataplane.close());
    const answers: string[] = [];
    let isDone = false;
    const asking = (async () => {
      while (!isDone) for (const vip of VIPS.slice(1)) answers.push(await ask(vip, 80));
    })();
    const { families } = await dataplane.sync(table, changes);
    isDone = true;
    await asking;
    t.equal(families[0]?.transactions, 1, 'all in one step');
    t.ok(answers.length > 0);
    t.same(
      answers.filter((answer) => !ENDPOINTS.includes(answer)),
      [],
      'every connection was served meanwhile',
    );
    for (const vip of VIPS) t.ok(ENDPOINTS.includes(await ask(vip, 80)), vip);
    t.match(
      shell(`nft list map ip ${TABLE} service-ips`),
      /10\.96\.0\.10 \. tcp \. 80 counter packets 13 bytes \d+ comment "shop\/cart:http" : "cluster"/,
      'counts go on',
    );
    t.match(shell(`nft list map ip ${TABLE} affinity`), `${AFFINITY} `, 'and so does session affinity');
    t.notMatch(shell(`nft list table ip ${TABLE}`), /chain cluster-3|map short-circuits/, 'nothing is left');
  });

  t.test('and another agent finds nothing to do', async (t) => {
    const second = openDataplane(undefined, ['IPv4']);
    const { families } = await second.sync(table, changes);
    t.same(
      families.map(({ kind, transactions }) => [kind, transactions]),
      [['none', 0]],
    );
    await second.close();
    server.close();
  });
}
