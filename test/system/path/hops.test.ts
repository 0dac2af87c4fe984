/** The way of outside traffic, hop by hop, in the modes of this kernel: who sees which address, and what each hop does. docs/path.md */
import t from 'tap';
import { inNetns } from '../../support/inNetns.js';
import { KEPT, keepsClient, NODE_PORT, seenOf } from '../../support/path/keepsClient.js';
import { CLIENT, PathWorld } from '../../support/path/PathWorld.js';
import { noProxies } from '../../support/pathProxies.js';
import { needsShared } from '../../support/shared.js';

const SHOP = { host: 'shop.example' };
const skip = noProxies();

if (skip) t.test('the way of outside traffic', { skip }, async () => {});
else if (await inNetns(import.meta.url)) {
  const world = new PathWorld();
  t.teardown(() => world.close());
  const [node1, node2] = world.nodes;
  await world.start('nftables');
  const seen = (question: object = {}) => seenOf(world, question);

  for (const mode of ['nftables', 'iptables', 'userspace']) {
    t.test(`the client's address in mode ${mode}`, async (t) => {
      if (mode !== 'nftables') await world.changeMode(mode);
      await keepsClient(t, world);
    });
  }

  t.test('mode userspace tells the client by PROXY protocol, also under policy Cluster', async (t) => {
    for (const edge of ['edge1', 'edge2'] as const) {
      await world.pods[edge].end('SIGQUIT');
      world.startEdge(edge, 2, '--proxy-from', '10.244.0.0/16', '--proxy-from', '192.0.2.0/24');
    }
    world.write({ edgePolicy: 'Cluster', edgeAnnotations: { 'penstock.io/proxy-protocol': 'v2' } });
    await world.until('PROXY protocol', async () => (await seen(NODE_PORT)).status === 200);
    t.match(await seen(NODE_PORT), KEPT);
    t.match(await seen({ ...NODE_PORT, headers: { 'x-forwarded-for': '9.9.9.9' } }), KEPT);
    for (const edge of ['edge1', 'edge2'] as const) {
      await world.pods[edge].end('SIGQUIT');
      world.startEdge(edge, 2);
    }
    world.write({ edgePolicy: 'Local', edgeAnnotations: {} });
    await world.changeMode('nftables');
    await world.until('the way as before', async () => (await seen()).edge === CLIENT);
  });

  t.test('nginx: host, path, weights', async (t) => {
    const by = async (question: object) => (await world.ask({ ...SHOP, ...question })).body.split(' ')[0];
    t.match(await by({}), /^pod[12]$/);
    t.equal(await by({ path: '/v2' }), 'pod3');
    t.equal(await by({ path: '/v2/orders' }), 'pod3');
    t.match(await by({ path: '/v2x' }), /^pod[12]$/, 'whole elements of the path');
    t.equal((await world.ask({ host: 'nobody.example' })).status, 404);
    t.equal(
      (await world.ask({ host: 'canary.example', tls: true })).status,
      0,
      'no certificate, no handshake',
    );
    let canary = 0;
    for (let i = 0; i < 200; i++) if ((await by({ host: 'canary.example' })) === 'pod3') canary++;
    // 25 of 100: outside of 22 to 78 of 200 once in some 10^5 runs.
    t.ok(canary >= 22 && canary <= 78, `${canary} of 200 to the canary of 25 %`);
  });

  t.test('the mesh: a sidecar takes what comes in and what goes out', async (t) => {
    const fault =
      '  http-request return status 418 if { req.hdr(x-try-fault) -m found } { rand(100) lt 50 }\n';
    world.startSidecar('pod3', 'all', (text) => text.replace('  bind :15006\n', (line) => line + fault));
    const v2 = { path: '/v2' };
    await world.until('the sidecar', async () => (await seen(v2)).peer === '127.0.0.1');
    t.match(await seen(v2), { ...KEPT, peer: '127.0.0.1' }, 'the app is asked by its sidecar');
    const out = (host: string, address: string) =>
      world.pods.pod3.run(`curl -s -m 5 -H "Host: ${host}" http://${address}/`).trim();
    t.match(out('shop.example', '10.96.0.99'), /^pod[12] 10\.244\.3\.12$/, 'by the route of the host');
    t.match(out('other.example', '10.96.0.10'), /^pod[12] 10\.244\.3\.12$/, 'without one: where it wanted');
    let refused = 0;
    for (let i = 0; i < 100; i++)
      if ((await world.ask({ ...SHOP, ...v2, headers: { 'x-try-fault': '1' } })).status === 418) refused++;
    // 50 of 100: outside of 26 to 74 once in some 10^6 runs.
    t.ok(refused >= 26 && refused <= 74, `${refused} of 100 are refused by the fault of 50 %`);
    t.equal((await world.ask({ ...SHOP, ...v2 })).status, 200, 'nobody else is');
  });

  t.test('the API gateway: keys, rewriting, a rate limit; outbound alone through the mesh', async (t) => {
    world.startApiGateway();
    world.startSidecar('api', 'outbound');
    await world.until('the API gateway', async () => (await world.askApi('/api/orders/7')).status === 401);
    t.equal((await world.askApi('/api/orders/7', 'key-of-nobody')).status, 401);
    t.equal((await world.askApi('/other', 'key-of-ben')).status, 404);
    const { status, body, headers } = await world.askApi('/api/orders/7', 'key-of-anna');
    t.match([status, body], [200, /^pod3 127\.0\.0\.1 203\.0\.113\.5$/m], 'pod3, through both sidecars');
    t.equal(headers['x-app-path'], '/v2/7', 'rewritten');
    const many = await Promise.all(
      Array.from({ length: 30 }, () => world.askApi('/api/orders/7', 'key-of-anna')),
    );
    t.ok(
      many.some((each) => each.status === 429),
      'no more than 20 in 10 s',
    );
    t.equal(
      (await world.askApi('/api/orders/7', 'key-of-ben')).status,
      200,
      'which is no other key’s matter',
    );
  });

  t.test('explain names each hop, asked on its node', async (t) => {
    t.match(node2.penstock('explain', CLIENT, '192.0.2.100:80/TCP'), /shop\/edge[\s\S]*10\.244\.2\.10/);
    t.match(node2.penstock('explain', '10.244.2.10', 'shop/app:http'), /shop\/app[\s\S]*10\.244\.[23]\.11/);
    // Where the packets arrive; a node that is not heard for a moment gets none.
    const both =
      /tier 1 on this node leads connections on: node2 \d+ %, node3\s+\d+ %[\s\S]*10\.244\.2\.10:\S+ .*%\n.*10\.244\.3\.10:\S+ .*%/;
    await world.until('explain on the arriving node', async () =>
      both.test(node1.penstock('explain', CLIENT, '192.0.2.100:80/TCP')),
    );
  });

  t.test('stock’s recorded rules on the same way', needsShared, async (t) => {
    await world.beginStock();
    t.match(node2.run('iptables-save -t nat'), /golden\/s05-lb-etp-local/, 'as they were recorded');
    t.match(node2.run('nft list tables'), /^(?![\s\S]*penstock)/, 'and none of ours');
    await world.until('an answer', async () => (await seen()).status === 200);
    t.match(await seen(), KEPT, 'policy Local');
    t.match(await seen(NODE_PORT), KEPT, 'policy Local, node port');
    t.match((await seen({ path: '/v2' })).peer, '127.0.0.1', 'the sidecar');
    const { status, body } = await world.askApi('/api/orders/7', 'key-of-ben');
    t.match([status, body], [200, /^pod3 127\.0\.0\.1 203\.0\.113\.5$/m], 'the API gateway');
    // A new connection each: nginx keeps its own.
    const said = world.pods.edge1.run(
      'for i in $(seq 40); do curl -s -m 5 -H "Host: shop.example" http://10.96.0.10/; echo; done',
    );
    t.strictSame([...new Set(said.match(/^pod\d/gm))].sort(), ['pod1', 'pod2']);
  });
}
