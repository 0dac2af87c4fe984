/**
 * A balancer outside of the cluster: three nodes with `penstock run` in mode nftables, and a box in front that leads to their node ports.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { AskingClient } from '../../support/balancer/AskingClient.js';
import { makeLan } from '../../support/balancer/lan.js';
import { LanAgent } from '../../support/balancer/lanAgent.js';
import { Talk } from '../../support/balancer/Talk.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopSlice } from '../../support/shopObjects.js';

const V4 = '198.51.100.10';
const V6 = '2001:db8:1::10';
const NODES = [
  ['node1', 1],
  ['node2', 2],
  ['node3', 3],
] as const;
const LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';

function service(name: string, policy: 'Cluster' | 'Local', port: number) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: {
      type: 'LoadBalancer',
      clusterIPs: [`10.96.0.${port - 70}`, `fd00:96::${port - 70}`],
      clusterIP: `10.96.0.${port - 70}`,
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
      externalTrafficPolicy: policy,
      ...(policy === 'Local' ? { healthCheckNodePort: 32000 } : {}),
      ports: [{ port, nodePort: 30000 + port, targetPort: 8080 }],
    },
    status: { loadBalancer: { ingress: [{ ip: V4 }, { ip: V6 }] } },
  };
}

function slices(name: string, on: readonly string[]) {
  return (['IPv4', 'IPv6'] as const).map((family) =>
    shopSlice(
      name,
      family,
      NODES.filter(([node]) => on.includes(node)).map(([nodeName, last]) => ({
        nodeName,
        addresses: [family === 'IPv4' ? `192.0.2.${last}` : `2001:db8::${last}`],
      })),
    ),
  );
}

function nodeObject(name: string, last: number, labels: Record<string, string> = {}) {
  const addresses = [`192.0.2.${last}`, `2001:db8::${last}`].map((address) => ({
    type: 'InternalIP',
    address,
  }));
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, status: { addresses } };
}

if (await inNetns(import.meta.url)) {
  makeLan();
  const folder = mkdtempSync(join(tmpdir(), 'penstock-external-'));
  const write = (name: string, items: readonly object[]) => {
    writeFileSync(join(folder, `.${name}`), JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    renameSync(join(folder, `.${name}`), join(folder, `${name}.json`));
  };
  const everywhere = NODES.map(([name]) => name);
  const drain = (drained: string) =>
    write(
      'nodes',
      NODES.map(([name, last]) => nodeObject(name, last, name === drained ? { [LABEL]: '' } : {})),
    );
  write('shop', [
    service('cart', 'Cluster', 80),
    ...slices('cart', everywhere),
    service('till', 'Local', 81),
    ...slices('till', ['node1', 'node3']),
  ]);
  drain('');
  const cluster = { mode: 'nftables', lines: ['nodePortAddresses: [192.0.2.0/24, "2001:db8::/64"]'] };
  const nodes = NODES.map(([name, last]) => new LanAgent(name, last, { folder, nodes: [], plain: cluster }));
  const lines = ['  externalBalancer: {serve: true}'];
  const boxes = ['userspace', 'nftables'].map(
    (mode, i) =>
      new LanAgent(`box-${mode.slice(0, 4)}`, 50 + i, { folder, nodes: [], plain: { mode, lines } }),
  );
  t.teardown(() => {
    for (const each of [...nodes, ...boxes]) each.close();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const node of nodes) {
    node.serve();
    node.start();
  }
  const leadTo = (last: number) => {
    shell(
      `ip route replace ${V4} via 192.0.2.${last}; ip route replace ${V6} via 2001:db8::${last.toString(16)}`,
    );
  };
  const talk = async (host: string, port: number, limitMs: number) => {
    const made = new Talk(host, port);
    const answer = await made.ask(limitMs);
    made.socket.destroy();
    return answer;
  };
  /** New connections to Service till, one after the other, while something happens; times in milliseconds. */
  const traffic = async (event: () => Promise<void>, limitMs: number, forMs = 6000) => {
    const count = { made: 0, failed: 0, last: 0 };
    await event();
    const began = performance.now();
    while (performance.now() - began < forMs) {
      count.made++;
      if ((await talk(V4, 81, limitMs)) === '') {
        count.failed++;
        count.last = performance.now() - began;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return count;
  };
  const answering = async (host: string, port: number, count = 30) =>
    [
      ...new Set(
        await Promise.all(
          Array.from({ length: count }, async () => (await talk(host, port, 4000)).split(' ')[0]),
        ),
      ),
    ].sort();
  const restore = (node: LanAgent) => {
    shell(`ip link set ${node.name} up`);
    node.run(`ip addr replace 2001:db8::${node.address.split('.')[3]}/64 dev eth0 nodad`);
  };

  for (const [i, mode] of (['userspace', 'nftables'] as const).entries()) {
    t.test(`mode ${mode}`, async (t) => {
      const box = boxes[i] as LanAgent;
      box.start();
      t.teardown(() => box.end('SIGKILL'));
      leadTo(50 + i);
      // Each address of each node is checked by itself: the one may pass before the other does.
      const serves = async () => {
        for (const host of [V4, V6]) {
          if ((await answering(host, 80)).length < everywhere.length) return false;
          if ((await answering(host, 81)).length < 2) return false;
        }
        return true;
      };
      if (!(await eventually(serves, 40_000))) throw new Error(`it does not serve:\n${box.output}`);

      t.test('both families, both policies', async (t) => {
        for (const host of [V4, V6]) {
          t.same(await answering(host, 80), everywhere, `policy Cluster at ${host}`);
          t.same(await answering(host, 81), ['node1', 'node3'], `policy Local at ${host}: who has endpoints`);
        }
        t.match(await talk(V4, 81, 2000), `192.0.2.${50 + i}`, 'the nodes see the balancer');
        t.match(box.penstock('endpoints', 'shop/till'), /192\.0\.2\.2:30081 .*not ready|node2/);
        t.match(box.penstock('explain', '198.51.100.7', '198.51.100.10:80'), /192\.0\.2\.\d:30080/);
        const still = box.run('nft list ruleset');
        t.notMatch(still, /30080 : goto/, 'the balancer has no node ports');
      });

      t.test('a node is drained under traffic: nothing fails', async (t) => {
        const client = new AskingClient(V4, 80);
        const long = await Promise.all(
          Array.from({ length: 12 }, async () => {
            const each = new Talk(V4, 81);
            return { each, first: await each.ask() };
          }),
        );
        drain('node3');
        t.ok(
          await eventually(async () => (await answering(V4, 81, 10)).join() === 'node1', 10_000),
          'no new connection is led to it',
        );
        for (const { each, first } of long) t.equal(await each.ask(), first, 'those that stand go on');
        for (const { each } of long) each.socket.destroy();
        drain('');
        t.ok(await eventually(async () => (await answering(V4, 81, 10)).length === 2, 10_000), 'and back');
        const { made, failed } = await client.stop();
        t.ok(made > 3, `${made} connections`);
        t.equal(failed, 0, `${failed} of ${made} failed`);
      });

      t.test('a node dies under traffic', async (t) => {
        // Nothing is under way at that moment: a connection to the dead node itself is lost in every way.
        const three = nodes[2] as LanAgent;
        const death = await traffic(
          async () => {
            await three.end('SIGKILL');
            shell('ip link set node3 down');
          },
          mode === 'userspace' ? 3000 : 400,
        );
        t.comment(
          `${death.failed} of ${death.made} failed, the last one ${Math.round(death.last)} ms after the death`,
        );
        if (mode === 'userspace') t.equal(death.failed, 0, 'a connect that fails is tried at another node');
        else t.ok(death.last < 6000, 'for no longer than two checks take');
        t.match(box.penstock('status'), /node node3 fails the health check/);
        restore(three);
        three.start();
        t.ok(await eventually(async () => (await answering(V4, 81, 10)).length === 2, 30_000), 'it is back');
      });
    });
  }
}
