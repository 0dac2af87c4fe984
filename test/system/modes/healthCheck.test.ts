/** The shortest load balancer of docs/without-kubernetes.md: one Service with its endpoints, which are checked. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { ask } from '../../support/loopbackEndpoints.js';
import { addSilentPods, nodeWithOutside } from '../../support/nodeWithOutside.js';

if (await inNetns(import.meta.url)) {
  nodeWithOutside('10.0.0.1', '10.0.0.2');
  const listen = (host: string) =>
    new Promise<ReturnType<typeof createServer>>((resolve) => {
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.end(host);
      }).listen(8080, host, () => resolve(server));
    });
  const served = () => shell('nft list map ip penstock endpoints');
  const answers = async () =>
    [...new Set(await Promise.all(Array.from({ length: 16 }, () => ask('192.0.2.10'))))].sort();

  t.test(
    "an endpoint that ends gets no connection until it is back; no text is longer than HAProxy's",
    async (t) => {
      const page = readFileSync(fromRoot('docs/without-kubernetes.md'), 'utf8');
      const [ours = '', theirs = ''] = [
        / {4}apiVersion: v1\n(?: {4}.+\n)+/,
        / {4}defaults\n(?: {4}.+\n)+/,
      ].map((form) => form.exec(page)?.[0] ?? '');
      t.ok(theirs.split('\n').length > 5, "HAProxy's is there");
      t.ok(ours.split('\n').length < theirs.split('\n').length, `${ours}is shorter than\n${theirs}`);
      const first = await listen('10.0.0.1');
      const second = await listen('10.0.0.2');
      t.teardown(() => first.close());
      await using agent = new AgentProcess('mode: nftables\n');
      mkdirSync(agent.folder, { recursive: true });
      const fast = ours
        .replaceAll(/^ {4}/gm, '')
        .replace('health-check: tcp', 'health-check: tcp, penstock.io/health-check-interval: 200ms');
      writeFileSync(join(agent.folder, 'web.yaml'), fast);
      agent.start();
      t.ok(await agent.ready());
      t.same(await answers(), ['10.0.0.1', '10.0.0.2']);
      second.close();
      t.ok(
        await eventually(() =>
          agent.output.includes('endpoint 10.0.0.2:8080 takes no connection (ECONNREFUSED)'),
        ),
        agent.output,
      );
      t.ok(await eventually(() => !served().includes('10.0.0.2')), 'it is served no more');
      t.same(await answers(), ['10.0.0.1'], 'no connection is refused any more');
      const again = await listen('10.0.0.2');
      t.teardown(() => again.close());
      t.ok(await eventually(() => served().includes('10.0.0.2')), 'back');
      t.same(await answers(), ['10.0.0.1', '10.0.0.2']);
      t.equal(await agent.end('SIGTERM'), 0);
    },
  );

  t.test('an endpoint that is silent: a check that was given up leaves nothing open', async (t) => {
    addSilentPods();
    await using agent = new AgentProcess('mode: nftables\n');
    mkdirSync(agent.folder, { recursive: true });
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'silent',
        annotations: {
          'penstock.io/endpoints': '10.66.0.1:8080',
          'penstock.io/health-check': 'tcp',
          'penstock.io/health-check-interval': '200ms',
          'penstock.io/health-check-timeout': '200ms',
        },
      },
      spec: { externalIPs: ['192.0.2.20'], ports: [{ port: 80 }] },
    };
    writeFileSync(join(agent.folder, 'silent.json'), JSON.stringify(service));
    agent.start();
    t.ok(await agent.ready());
    t.ok(
      await eventually(() => agent.output.includes('10.66.0.1:8080 takes no connection (no answer within')),
    );
    const tries = shell('ss -Htn state syn-sent dst 10.66.0.1').split('\n').filter(Boolean);
    t.ok(tries.length <= 1, tries.join('\n'));
    t.equal(await agent.end('SIGTERM'), 0);
    t.notMatch(agent.output, 'there is still open');
  });
}
