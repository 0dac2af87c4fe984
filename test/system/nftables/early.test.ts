/** A node that nobody serves yet: the API server's VIP answers before everything has been read, and the first sync takes over. */
import t from 'tap';
import type { NftablesDataplane } from '../../../src/dataplane/nftables/NftablesDataplane.js';
import { systemClock } from '../../../src/time/Clock.js';
import { status } from '../../support/AgentProcess.js';
import { endpoint, ip, node, service, slice, tableOf } from '../../support/builders.js';
import { ClusterAgent } from '../../support/ClusterAgent.js';
import { FakeApiServer } from '../../support/FakeApiServer.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, listedRuleset, shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { openDataplane } from '../../support/nftablesWorld.js';
import { PATHS, putNode, putObjects } from '../../support/putObjects.js';
import { rawService, rawSlice } from '../../support/rawServices.js';
import { serveApi } from '../../support/serveApi.js';

const POD = '10.2.0.1';
const API = '172.30.0.1';
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

/** What a first sync of `objects` does, and what it leaves. */
async function synced(dataplane: NftablesDataplane, objects: Parameters<typeof tableOf>[0]) {
  const table = tableOf(objects);
  const { families } = await dataplane.sync(table, table.commit());
  return { kinds: families.map(({ kind }) => kind), rules: listedRuleset('ruleset') };
}

if (await inNetns(import.meta.url)) {
  const endpoints = await serveOnLoopback([POD]);
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
