/** `penstock run` on three nodes of a LAN, from one folder of manifests: addresses, and connections to them, while nodes come and go. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AskingClient } from '../../support/balancer/AskingClient.js';
import { askFor, LanHost, makeLan } from '../../support/balancer/lan.js';
import { LanAgent } from '../../support/balancer/lanAgent.js';
import { Talk } from '../../support/balancer/Talk.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopSlice } from '../../support/shopObjects.js';

const V4 = '192.0.2.100';
const V6 = '2001:db8::100';
const NODES = [
  ['node1', 1],
  ['node2', 2],
  ['node3', 3],
] as const;

function service(
  name: string,
  addresses: readonly string[],
  more: Record<string, string> = {},
  policy = 'Local',
) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      namespace: 'shop',
      annotations: { 'penstock.io/load-balancer-ips': addresses.join(','), ...more },
    },
    spec: { type: 'LoadBalancer', externalTrafficPolicy: policy, ports: [{ port: 80 }] },
  };
}

function slice(name: string, family: 'IPv4' | 'IPv6', nodes: readonly string[]) {
  return shopSlice(
    name,
    family,
    NODES.filter(([node]) => nodes.includes(node)).map(([nodeName, last]) => ({
      nodeName,
      addresses: [family === 'IPv4' ? `192.0.2.${last}` : `2001:db8::${last}`],
    })),
  );
}

if (await inNetns(import.meta.url)) {
  makeLan();
  const folder = mkdtempSync(join(tmpdir(), 'penstock-lb-'));
  const write = (name: string, items: readonly object[]) => {
    writeFileSync(join(folder, `.${name}`), JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    renameSync(join(folder, `.${name}`), join(folder, `${name}.json`));
  };
  write('announcing', [
    {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name: 'lan', namespace: 'metallb-system' },
      spec: { addresses: ['192.0.2.96/28', '2001:db8::100-2001:db8::1ff'] },
    },
    {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'L2Advertisement',
      metadata: { name: 'lan', namespace: 'metallb-system' },
      spec: { ipAddressPools: ['lan'] },
    },
  ]);
  const shop = (more: Record<string, string> = {}) => [
    service('cart', [V4, V6], more),
    slice('cart', 'IPv4', ['node2', 'node3']),
    slice('cart', 'IPv6', ['node2', 'node3']),
  ];
  write('shop', shop());
  const nodes = NODES.map(([name, last]) => new LanAgent(name, last, { folder, nodes: NODES }));
  t.teardown(() => {
    for (const node of nodes) node.close();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const node of nodes.slice(1)) node.serve();
  for (const node of nodes) node.start();
  const named = (name: string | undefined) => nodes.find((node) => node.name === name) as LanAgent;
  const ownerOf = (node: LanAgent, address: string) =>
    node.report().addresses.find((each) => each.address === address)?.owner;
  const owned = (name: string, address: string) =>
    named(name).until(`owning ${address}`, ({ addresses }) =>
      addresses.some((each) => each.address === address && each.here.some(({ state }) => state === 'owning')),
    );
  const talks = async (host: string, count: number) => {
    const made = Array.from({ length: count }, () => new Talk(host, 80));
    const answers = await Promise.all(made.map((talk) => talk.ask()));
    return { made, answers };
  };

  /** How many are answered by the endpoint that they began with. They are ended. */
  const alive = async ({ made, answers }: Awaited<ReturnType<typeof talks>>) => {
    const again = await Promise.all(made.map((talk) => talk.ask()));
    for (const { socket } of made) socket.destroy();
    return again.filter((each, i) => each !== '' && each === answers[i]).length;
  };
  const answersSoon = async (t: Test, began: number, what: string) => {
    let first = '';
    while (first === '' && performance.now() - began < 10_000) {
      const talk = new Talk(V4, 80);
      first = await talk.ask(100);
      talk.socket.destroy();
    }
    const gap = performance.now() - began;
    t.match(first, /^node[23] /);
    t.comment(`first new connection ${Math.round(gap)} ms after ${what}`);
    t.ok(gap < 3000, 'soon');
  };

  t.test('one node announces, both with endpoints answer, and they see the client', async (t) => {
    for (const node of nodes)
      await node.until(
        'a view with all nodes',
        ({ members }) => members.filter(({ fresh }) => fresh).length === 3,
        // Three agents start at once here.
        60_000,
      );
    for (const address of [V4, V6]) {
      // Elected after a view, by each node for itself.
      for (const node of nodes)
        await node.until(`an owner of ${address}`, () => ownerOf(node, address) !== undefined);
      const owner = ownerOf(named('node1'), address) as string;
      for (const node of nodes)
        t.equal(ownerOf(node, address), owner, `${node.name}: ${address} is ${owner}'s`);
      await owned(owner, address);
      t.equal(askFor(address), named(owner).mac);
    }
    for (const [host, client] of [
      [V4, '::ffff:192.0.2.254'],
      [V6, '2001:db8::fe'],
    ] as const) {
      const { made, answers } = await talks(host, 40);
      t.same([...new Set(answers)].sort(), [`node2 ${client}`, `node3 ${client}`], host);
      for (const { socket } of made) socket.destroy();
    }
    t.match(named('node1').penstock('lb', 'status'), /two tiers: 2 ports lead on/);
    t.match(named('node1').penstock('lb', 'owners'), /192\.0\.2\.100 +shop\/cart/);
    t.match(named('node1').penstock('lb', 'pools'), /metallb-system\/lan +2 +272/);
    t.match(named('node1').run('curl -s http://127.0.0.1:10249/metrics'), /penstock_lb_candidates 3/);
  });

  t.test('an address is moved without a failed connection', async (t) => {
    const from = ownerOf(named('node1'), V4);
    const to = NODES.map(([name]) => name).find((name) => name !== from) as string;
    const long = await talks(V4, 30);
    const client = new AskingClient(V4, 80);
    write('shop', shop({ 'penstock.io/announce-from': to }));
    await owned(to, V4);
    t.ok(await eventually(() => askFor(V4) === named(to).mac, 5000));
    write('shop', shop());
    await owned(from as string, V4);
    const { made, failed } = await client.stop();
    t.ok(made > 20, `${made} connections`);
    t.equal(failed, 0, `${failed} of ${made} failed`);
    t.equal(await alive(long), 30, '30 of 30 long ones at their endpoint');
  });

  t.test('the arriving node dies: long connections live, new ones come soon', async (t) => {
    write('shop', shop({ 'penstock.io/announce-from': 'node1' }));
    await owned('node1', V4);
    t.ok(await eventually(() => askFor(V4) === named('node1').mac, 5000));
    const { made, answers } = await talks(V4, 60);
    const began = performance.now();
    await named('node1').end('SIGKILL');
    shell('ip link set node1 down');
    await answersSoon(t, began, 'the death');
    t.equal(await alive({ made, answers }), 60, '60 of 60 at their endpoint');
    shell('ip link set node1 up');
    named('node1').run('ip addr replace 2001:db8::1/64 dev eth0 nodad');
    named('node1').start();
    await owned('node1', V4);
    t.ok(await eventually(() => askFor(V4) === named('node1').mac, 5000), 'it has the address back');
    write('shop', shop());
  });

  t.test(
    'a cable is out and back in: another takes over, then its owner again, and long connections live',
    async (t) => {
      write('shop', shop({ 'penstock.io/announce-from': 'node1' }));
      await owned('node1', V4);
      t.ok(await eventually(() => askFor(V4) === named('node1').mac, 5000));
      const long = await talks(V4, 30);
      const began = performance.now();
      shell('ip link set node1 down');
      await answersSoon(t, began, 'the cable was out');
      shell('ip link set node1 up');
      t.ok(await eventually(() => askFor(V4) === named('node1').mac, 10_000), 'it has the address back');
      t.equal(await alive(long), 30, '30 of 30 at their endpoint');
      named('node1').run('ip addr replace 2001:db8::1/64 dev eth0 nodad');
      write('shop', shop());
    },
  );

  t.test('why something is not announced', async (t) => {
    const host = new LanHost('stranger', 60);
    t.teardown(() => host.close());
    host.run('ip addr add 192.0.2.101/24 dev eth0');
    write('others', [
      service('empty', ['192.0.2.102']),
      service('beyond', ['203.0.113.1']),
      slice('beyond', 'IPv4', ['node2']),
      service('taken', ['192.0.2.101']),
      slice('taken', 'IPv4', ['node2']),
      service('node-thief', ['192.0.2.3']),
      slice('node-thief', 'IPv4', ['node2']),
      service('a-thief', [V4]),
      slice('a-thief', 'IPv4', ['node1']),
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'inner', namespace: 'shop' },
        spec: { clusterIP: '192.0.2.103', ports: [{ port: 81 }] },
      },
      service('cluster-thief', ['192.0.2.103']),
      slice('cluster-thief', 'IPv4', ['node2']),
    ]);
    const one = named('node2');
    await one.until('the others', ({ addresses }) => addresses.length === 7);
    t.match(one.penstock('lb', 'why', 'empty'), /not announced[\s\S]*no endpoint serves/);
    t.match(
      one.penstock('lb', 'why', 'shop/beyond'),
      /not for shop\/beyond: 203\.0\.113\.1 is in no IPAddressPool/,
    );
    t.match(one.penstock('lb', 'why', 'node-thief'), /not announced[\s\S]*the own address of node node3/);
    t.match(
      one.penstock('lb', 'why', 'cluster-thief'),
      /not announced[\s\S]*192\.0\.2\.103 is the cluster IP of Service shop\/inner/,
    );
    t.equal(askFor('192.0.2.103'), '', 'nobody answers for the cluster IP');
    t.equal(askFor('192.0.2.3'), named('node3').mac, 'the node keeps its address');
    t.match(
      one.penstock('lb', 'why', 'a-thief'),
      /not for shop\/a-thief: .* already belongs to Service shop\/cart/,
    );
    t.ok(
      await eventually(
        () => /does not announce 192\.0\.2\.3: .*\(Service shop\/node-thief\)/.test(one.output),
        5000,
      ),
    );
    const { made, answers } = await talks(V4, 20);
    for (const { socket } of made) socket.destroy();
    t.same(
      answers.filter((each) => each.startsWith('node1')),
      [],
      'cart keeps V4',
    );
    const first = ownerOf(one, '192.0.2.101') ?? '';
    await named(first).until('the conflict', ({ addresses }) =>
      addresses.some(({ here }) => here.some(({ conflict }) => conflict !== undefined)),
    );
    t.match(named(first).penstock('lb', 'why', 'taken'), new RegExp(`somebody else has it: ${host.mac}`));
    t.equal(askFor('192.0.2.101'), host.mac, 'the stranger keeps it');
    t.match(
      one.run(`${process.execPath} bin/penstock lb why nobody 2>&1 || echo status $?`),
      /is called "nobody"[\s\S]*status 2/,
    );
    rmSync(join(folder, 'others.json'));
  });

  t.test('the end in order, and cleanup', async (t) => {
    const owner = named(ownerOf(named('node1'), V4));
    const others = nodes.filter((node) => node !== owner);
    await owner.end('SIGTERM');
    t.ok(await eventually(() => others.some((node) => askFor(V4) === node.mac), 3000), 'another one answers');
    t.match(
      owner.run('nft list tables'),
      /table netdev penstock-balancer/,
      'tables stay while no agent runs',
    );
    t.match(owner.penstock('cleanup', '--check'), /still there: table netdev penstock-balancer/);
    t.match(owner.penstock('cleanup'), /netdev penstock-balancer removed/);
    t.match(owner.penstock('cleanup', '--check'), /clean: nothing of penstock/);
    t.notMatch(owner.run('nft list tables'), /penstock/);
  });
}
