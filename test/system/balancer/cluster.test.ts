/**
 * A cluster: three agents and `penstock allocator` as processes, an API server that all of them talk to, and a box in front that reads
 * it too. No heartbeat gets through, so Leases alone say who lives.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { compareRank } from '../../../src/balancer/layer2/rendezvous.js';
import type { IpAddress } from '../../../src/net/ip.js';
import { systemClock } from '../../../src/time/Clock.js';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { makeLan } from '../../support/balancer/lan.js';
import { LanAgent } from '../../support/balancer/lanAgent.js';
import { Talk } from '../../support/balancer/Talk.js';
import { writeKubeconfig } from '../../support/ClusterAgent.js';
import { FakeApiServer, type RawApiObject } from '../../support/FakeApiServer.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { serveApi } from '../../support/serveApi.js';
import { shopSlice } from '../../support/shopObjects.js';

const NODES = [
  ['node1', 1],
  ['node2', 2],
  ['node3', 3],
] as const;
const SERVICES = '/api/v1/services';
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const FAR = '198.51.100.10';
const LONG_MS = 40_000;

interface StoredService extends RawApiObject {
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] } };
}

function service(name: string, last: number, more: object = {}, status: object = {}): RawApiObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop', uid: name },
    spec: {
      type: 'LoadBalancer',
      clusterIP: `10.96.0.${last}`,
      clusterIPs: [`10.96.0.${last}`],
      ipFamilies: ['IPv4'],
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 32000 + last,
      ports: [{ port: 80, nodePort: 30000 + last, targetPort: 8080 }],
      ...more,
    },
    status,
  } as RawApiObject;
}

if (await inNetns(import.meta.url)) {
  makeLan();
  const folder = mkdtempSync(join(tmpdir(), 'penstock-cluster-'));
  const fake = new FakeApiServer(systemClock);
  const api = await serveApi(fake, 0, { host: '192.0.2.254', stores: true });
  const kubeconfig = join(folder, 'kubeconfig');
  writeKubeconfig(kubeconfig, api.url);
  const put = (path: string, object: object) => fake.put(path, object as RawApiObject);
  const add = (name: string, last: number, more?: object, status?: object) => {
    put(SERVICES, service(name, last, more, status));
    const endpoints = NODES.slice(1).map(([nodeName, i]) => ({ nodeName, addresses: [`192.0.2.${i}`] }));
    put('/apis/discovery.k8s.io/v1/endpointslices', shopSlice(name, 'IPv4', endpoints));
  };
  for (const name of ['shop', 'kube-system', 'lb']) put('/api/v1/namespaces', { metadata: { name } });
  for (const [name, last] of NODES) {
    const addresses = [{ type: 'InternalIP', address: `192.0.2.${last}` }];
    put('/api/v1/nodes', {
      metadata: { name },
      status: { addresses, conditions: [{ type: 'Ready', status: 'True' }] },
    });
  }
  const lan = { apiVersion: 'metallb.io/v1beta1', metadata: { name: 'lan', namespace: 'lb' } };
  put('/apis/metallb.io/v1beta1/ipaddresspools', {
    ...lan,
    kind: 'IPAddressPool',
    spec: { addresses: ['192.0.2.96/28'] },
  });
  put('/apis/metallb.io/v1beta1/l2advertisements', { ...lan, kind: 'L2Advertisement', spec: {} });
  // Another one: where there is none at all, every address may be announced.
  put('/apis/metallb.io/v1beta1/ipaddresspools', {
    ...lan,
    metadata: { name: 'other', namespace: 'lb' },
    kind: 'IPAddressPool',
    spec: { addresses: ['198.51.100.96/28'], autoAssign: false },
  });
  add('cart', 10);

  const nodes = NODES.map(([name, last]) => new LanAgent(name, last, { folder, kubeconfig, nodes: [] }));
  const lines = ['  externalBalancer: {serve: true}'];
  const boxes = (['userspace', 'nftables'] as const).map((mode, i) => ({
    mode,
    last: 50 + i,
    agent: new LanAgent(`box-${i}`, 50 + i, { folder, kubeconfig, nodes: [], plain: { mode, lines } }),
  }));
  const ranked = [...nodes].sort((a, b) => compareRank('192.0.2.96' as IpAddress, a.name, b.name));
  const allocators: ChildProcess[] = [];
  let said = '';
  const allocate = () => {
    const started = spawn(...plain(PENSTOCK, 'allocator', '--kubeconfig', kubeconfig), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [started.stdout, started.stderr])
      stream?.on('data', (chunk) => {
        said += chunk;
      });
    allocators.push(started);
    return started;
  };
  t.teardown(async () => {
    for (const each of allocators) each.kill('SIGKILL');
    for (const each of [...nodes, ...boxes.map(({ agent }) => agent)]) each.close();
    await api.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const addressOf = (name: string) =>
    (fake.objects(SERVICES) as StoredService[])
      .find(({ metadata }) => metadata.name === name)
      ?.status?.loadBalancer?.ingress?.map(({ ip }) => ip)
      .join() ?? '';
  /** Notes of the Events that were sent. */
  const notes = () =>
    api.written
      .filter(({ path }) => path.endsWith('/events'))
      .map(({ body }) => String((body as { note?: unknown }).note));
  /** The only node that announces it by its own log; an Event that comes again is counted, and tells no order. */
  const announcerOf = (address: string) => {
    const word = new RegExp(`(no longer announces|announces) ${address} |ended with `, 'g');
    const announcing = nodes.filter(({ output }) => [...output.matchAll(word)].at(-1)?.[1] === 'announces');
    return announcing.length === 1 ? announcing[0]?.name : undefined;
  };
  const deaf = () =>
    fake
      .objects(LEASES)
      .filter((lease) => JSON.stringify(lease).includes('"penstock.io/deaf":"true"'))
      .map(({ metadata }) => metadata.name);
  const answer = async (address: string) => {
    const talk = new Talk(address, 80);
    const text = await talk.ask(2000);
    talk.socket.destroy();
    return text;
  };
  const until = async (what: string, check: () => boolean | Promise<boolean>) => {
    if (await eventually(check, LONG_MS)) return;
    const outputs = [...nodes, ...boxes.map(({ agent }) => agent)].map(
      ({ name, output }) => `${name}: ${output}`,
    );
    throw new Error(`never came to ${what}\n${said}\n${outputs.join('\n')}\n${notes().join('\n')}`);
  };
  for (const node of nodes) {
    node.run(
      'nft "add table inet no; add chain inet no in { type filter hook input priority 0; }; add rule inet no in udp dport 7790 drop"',
    );
    node.serve();
    node.start();
  }
  const first = allocate();

  t.test(
    'an address of the pool comes into the status, one node announces it, endpoints see the client',
    async (t) => {
      await until('an address', () => addressOf('cart') !== '');
      t.equal(addressOf('cart'), '192.0.2.96');
      await until('an answer', async () => (await answer('192.0.2.96')) !== '');
      t.match(await answer('192.0.2.96'), /^node[23] (::ffff:)?192\.0\.2\.254/);
      await until('an owner', () => announcerOf('192.0.2.96') !== undefined);
      await until('an Event', () => notes().some((note) => / announces 192\.0\.2\.96 /.test(note)));
      t.ok(
        notes().some((note) => note.includes('192.0.2.96') && !note.startsWith('node ')),
        'one of the allocator, too',
      );
    },
  );

  t.test('nobody hears anybody: all say so, and the address is where it was', async (t) => {
    await until('all being deaf', () => deaf().length === NODES.length);
    t.ok((await answer('192.0.2.96')) !== '');
    // They do not come to it in the same moment, and who does first comes last until then.
    await until('the owner by the hash', () => announcerOf('192.0.2.96') === ranked[0]?.name);
  });

  t.test('a pool that is given another name stops nothing', async (t) => {
    const before = nodes.map(({ output }) => output.length);
    const pools = '/apis/metallb.io/v1beta1/ipaddresspools';
    fake.delete(pools, lan);
    for (let i = 0; i < 10; i++) {
      if (i === 5)
        put(pools, {
          ...lan,
          metadata: { name: 'named-anew', namespace: 'lb' },
          kind: 'IPAddressPool',
          spec: { addresses: ['192.0.2.96/28'] },
        });
      t.match(await answer('192.0.2.96'), /^node/);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const since = nodes.map(({ output }, i) => output.slice(before[i])).join('');
    t.notMatch(since, /no longer announces 192\.0\.2\.96/);
    t.equal(addressOf('cart'), '192.0.2.96');
  });

  t.test('the node that announces dies: its Lease runs out, and another takes over', async (t) => {
    const owner = ranked[0] as LanAgent;
    await owner.end('SIGKILL');
    shell(`ip link set ${owner.name} down`);
    await until('another owner', () => ![owner.name, undefined].includes(announcerOf('192.0.2.96')));
    await until('an answer', async () => (await answer('192.0.2.96')) !== '');
    shell(`ip link set ${owner.name} up`);
    owner.start();
    await until('the first one again', () => announcerOf('192.0.2.96') === owner.name);
    await until('an answer', async () => (await answer('192.0.2.96')) !== '');
    t.pass();
  });

  t.test(
    'another allocator goes on: who has an address keeps it, a new Service gets the next one',
    async (t) => {
      const second = allocate();
      first.kill('SIGTERM');
      add('till', 11);
      await until('an address', () => addressOf('till') !== '');
      t.equal(addressOf('till'), '192.0.2.97');
      t.equal(addressOf('cart'), '192.0.2.96');
      await until('an answer', async () => (await answer('192.0.2.97')) !== '');
      t.equal(second.exitCode, null);
    },
  );

  t.test('a box in front that reads the same API server', async (t) => {
    const status = { loadBalancer: { ingress: [{ ip: FAR }] } };
    add('beyond', 12, { loadBalancerClass: 'box.example/front' }, status);
    for (const { mode, last, agent } of boxes) {
      agent.start();
      shell(`ip route replace ${FAR} via 192.0.2.${last}`);
      await until(`an answer in mode ${mode}`, async () => (await answer(FAR)) !== '');
      t.match(
        await answer(FAR),
        new RegExp(`^node[23] .*192\\.0\\.2\\.${last}`),
        `${mode}: the nodes see the box`,
      );
      await agent.end('SIGTERM');
    }
    t.equal(addressOf('beyond'), FAR, 'the allocator leaves another class alone');
  });
}
