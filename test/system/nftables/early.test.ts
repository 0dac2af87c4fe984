/** A node that nobody serves yet: the API server's VIP answers before everything has been read, and the first sync takes over. */
import t from 'tap';
import { TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import type { NftablesDataplane } from '../../../src/dataplane/nftables/NftablesDataplane.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import { systemClock } from '../../../src/time/Clock.js';
import { status } from '../../support/AgentProcess.js';
import { endpoint, endpointPort, ip, node, port, service, slice, tableOf } from '../../support/builders.js';
import { ClusterAgent } from '../../support/ClusterAgent.js';
import { FakeApiServer } from '../../support/FakeApiServer.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, listedRuleset, shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { OPTIONS, openDataplane } from '../../support/nftablesWorld.js';
import { PATHS, putNode, putObjects } from '../../support/putObjects.js';
import { rawService, rawSlice } from '../../support/rawServices.js';
import { serveApi } from '../../support/serveApi.js';

const POD = '10.2.0.1';
const API = '172.30.0.1';
const DNS = '172.30.0.3';
const OTHER = '10.2.0.2';
/** More entries than others wait for. */
const MAGLEV = { algorithm: 'maglev', weights: `{"${POD}": 100, "${OTHER}": 99}` };
const SHOP = '172.30.0.2';
const DELETE = 'nft delete table ip penstock; nft delete table ip6 penstock';

const urgent = () => [
  node({ name: 'node1' }),
  service({ namespace: 'default', name: 'kubernetes', clusterIPs: { IPv4: ip(API) } }),
  slice([endpoint(POD)], { namespace: 'default', name: 'kubernetes', serviceName: 'kubernetes' }),
];
const rest = () => [
  service({ name: 'cart', clusterIPs: { IPv4: ip(SHOP) }, affinitySeconds: 60 }),
  slice([endpoint(POD)], { name: 'cart-a', serviceName: 'cart' }),
];

async function within<Result>(run: (dataplane: NftablesDataplane) => Promise<Result>): Promise<Result> {
  const dataplane = openDataplane();
  try {
    return await run(dataplane);
  } finally {
    await dataplane.close();
  }
}

/** What a first sync of `objects` does, and what it leaves, in no order: chains that come later stand behind others. */
async function synced(dataplane: NftablesDataplane, objects: Parameters<typeof tableOf>[0]) {
  const table = tableOf(objects);
  const { families } = await dataplane.sync(table, table.commit());
  return { kinds: families.map(({ kind }) => kind), rules: listedRuleset('ruleset').split('\n').sort() };
}

if (await inNetns(import.meta.url)) {
  const endpoints = await serveOnLoopback([POD, OTHER]);
  t.teardown(() => endpoints.close());

  t.test('the first sync leaves what it leaves without, also where nothing urgent is left', async (t) => {
    for (const objects of [[...urgent(), ...rest()], rest()]) {
      const { rules } = await within((dataplane) => synced(dataplane, objects));
      t.notOk(await within((dataplane) => dataplane.isUnserved()), 'what is there is served');
      shell(DELETE);
      await within(async (dataplane) => {
        t.ok(await dataplane.isUnserved());
        const table = tableOf(urgent());
        table.commit();
        t.same(await dataplane.serveEarly(table), ['default/kubernetes']);
        t.equal(await ask(API), POD, 'it answers');
        t.match(
          listedRuleset('table ip penstock'),
          /hook prerouting priority dstnat \+ 5;/,
          'behind kube-proxy',
        );
        t.same(await synced(dataplane, objects), { kinds: ['full', 'full'], rules });
      });
      t.same(
        (await within((dataplane) => synced(dataplane, objects))).kinds,
        ['none', 'none'],
        'adopted as it is',
      );
      shell(DELETE);
    }
  });

  t.test('the first sync takes nothing away: large Services, and rules of an administrator', async (t) => {
    const ports = [80, 81].map((number) => port({ name: `p${number}`, port: number }));
    const large = [
      service({
        namespace: 'kube-system',
        name: 'dns',
        clusterIPs: { IPv4: ip(DNS) },
        ports,
        options: MAGLEV,
      }),
      slice([endpoint(POD), endpoint(OTHER)], {
        namespace: 'kube-system',
        name: 'dns',
        serviceName: 'dns',
        ports: ports.map(({ name }) => endpointPort({ name, port: 8080 })),
      }),
    ];
    const answers: unknown[] = [];
    let rule = '';
    class AskingTable extends NftablesTable {
      override async commit(transaction: Parameters<NftablesTable['commit']>[0]) {
        await super.commit(transaction);
        for (const number of [80, 81]) answers.push([POD, OTHER].includes(await ask(DNS, number, 500)));
        answers.push(!rule || shell('nft list chain ip penstock admin-pre').includes(rule));
      }
    }
    const dataplane = openDataplane(
      OPTIONS,
      ['IPv4'],
      (channel, family) => new AskingTable(channel, family, TABLE),
    );
    const table = tableOf([...urgent(), ...large]);
    table.commit();
    t.same(await dataplane.serveEarly(table), ['default/kubernetes', 'kube-system/dns']);
    shell('nft add rule ip penstock admin-pre ip daddr 10.9.9.9 counter');
    rule = '10.9.9.9';
    answers.length = 0;
    const whole = tableOf([...urgent(), ...large, ...rest()]);
    await dataplane.sync(whole, whole.commit());
    t.ok(answers.length > 0);
    t.same(new Set(answers), new Set([true]), 'after each transaction');
    t.equal(await ask(SHOP), POD);
    await dataplane.close();
    shell('nft delete table ip penstock');
  });

  t.test('what is served early follows what changes, and is withdrawn', async (t) => {
    await within(async (dataplane) => {
      const early = async (...objects: Parameters<typeof tableOf>[0]) => {
        const table = tableOf([node({ name: 'node1' }), ...objects]);
        table.commit();
        return await dataplane.serveEarly(table);
      };
      const api = service({ namespace: 'default', name: 'kubernetes', clusterIPs: { IPv4: ip(API) } });
      const at = (address: string) =>
        slice([endpoint(address)], { namespace: 'default', name: 'kubernetes', serviceName: 'kubernetes' });
      await early(api, at(POD));
      t.equal(await ask(API), POD);
      await early(api, at(OTHER));
      t.equal(await ask(API), OTHER);
      t.same(await early(api), []);
      t.not(await ask(API, 80, 300), OTHER, 'without endpoints');
      await synced(dataplane, [...urgent(), ...rest()]);
      for (const vip of [API, SHOP]) t.equal(await ask(vip), POD);
    });
    shell(DELETE);
  });

  t.test('where another proxy serves there is no hurry', async (t) => {
    const isUnserved = () => within((dataplane) => dataplane.isUnserved());
    t.ok(await isUnserved());
    for (const [add, remove] of [
      ['ip link add kube-ipvs0 type veth peer name other', 'ip link del kube-ipvs0'],
      ['nft add table ip kube-proxy', 'nft delete table ip kube-proxy'],
      ['nft add table ip6 kube-proxy', 'nft delete table ip6 kube-proxy'],
      ['nft add table ip penstock-userspace', 'nft delete table ip penstock-userspace'],
      ['nft add table ip nat; nft add chain ip nat KUBE-SERVICES', 'nft delete table ip nat'],
    ] as const) {
      shell(add);
      t.notOk(await isUnserved(), add);
      shell(remove);
      t.ok(await isUnserved(), remove);
    }
  });

  t.test('it goes while everything is being read: the first sync writes all', async (t) => {
    await within(async (dataplane) => {
      const table = tableOf(urgent());
      table.commit();
      await dataplane.serveEarly(table);
      shell('nft delete table ip penstock');
      await synced(dataplane, [...urgent(), ...rest()]);
      for (const vip of [API, SHOP]) t.equal(await ask(vip), POD);
    });
    shell(DELETE);
  });

  t.test('an agent whose list of Services does not end', async (t) => {
    const fake = new FakeApiServer(systemClock);
    fake.initialEvents = 'refused';
    const api = await serveApi(fake);
    t.teardown(() => api.close());
    putNode(fake, 'node1');
    putObjects(fake, [rawService('default', 'kubernetes', API), rawSlice('default', 'kubernetes', [POD])]);
    putObjects(fake, [rawService('shop', 'cart', SHOP), rawSlice('shop', 'cart', [POD])]);
    fake.faultsAt.set(PATHS.Service, [undefined, { type: 'stall', after: 40 }]);
    {
      await using agent = new ClusterAgent(api.url);
      t.ok(await eventually(async () => (await ask(API, 80, 200)) === POD), 'the API server answers');
      t.match(agent.output, /served before all else has been read: default\/kubernetes$/m);
      t.equal(await status('/readyz'), 503, 'it is not ready');
      fake.breakConnections();
    }
    t.equal(await ask(API), POD, 'and after the agent went');
    await using agent = new ClusterAgent(api.url);
    t.ok(await eventually(async () => (await ask(SHOP, 80, 200)) === POD), 'the next one serves all');
    t.equal(await ask(API), POD);
    t.notMatch(agent.output, /served before/, 'and adopts what it finds');
  });
}
