/** `penstock run` on a real kernel: real connections, edits, foreign flushes, kills, cleanup. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { AgentProcess, PENSTOCK, status } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, savedRules, shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PacedClient } from '../../support/pacedClient.js';
import { RESTARTS } from '../../support/patience.js';
import { shopObjects } from '../../support/shopObjects.js';
import { parseMetrics, seriesValue } from '../../unit/observe/parseMetrics.js';

const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1', '10.1.0.2'] };
const SETTINGS =
  'mode: iptables\nclusterCIDR: 10.0.0.0/8\niptables: {syncPeriod: 2s, minSyncPeriod: 100ms}\n';
const NODE_PORT = 30_080;

/** Rules of an administrator, and of a kubelet, which must survive everything. */
const FOREIGN = `
  iptables -A INPUT -p tcp --dport 22 -m comment --comment "admin ssh" -j ACCEPT
  iptables -t nat -N ADMIN; iptables -t nat -A ADMIN -p tcp --dport 1 -j RETURN
  iptables -t mangle -A PREROUTING -p tcp --dport 2 -j MARK --set-mark 2`;

async function reached(address: string, tries = 40): Promise<Set<string>> {
  const answers = new Set<string>();
  for (let i = 0; i < tries; i++) answers.add(await ask(address));
  return answers;
}

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(['10.1.0.1', '10.1.0.2', '10.1.0.3']);
  t.teardown(() => server.close());

  t.test('serves, follows edits, refuses without endpoints', async (t) => {
    await using agent = new AgentProcess(SETTINGS);
    agent.write(
      'cart.json',
      shopObjects({ ...CART, spec: { type: 'NodePort', port: { nodePort: NODE_PORT } } }),
    );
    agent.start();
    t.ok(await agent.ready(), 'ready');
    t.same([...(await reached('172.30.0.1'))].sort(), ['10.1.0.1', '10.1.0.2'], 'both endpoints answer');
    t.ok(CART.endpoints.includes(await ask('127.0.0.1', NODE_PORT)), 'the node port answers on localhost');

    const page = parseMetrics(await (await fetch('http://127.0.0.1:10249/metrics')).text());
    for (const table of ['filter', 'nat']) {
      const saved = shell(`iptables-save -t ${table}`);
      const rules = saved.match(/^-A KUBE-/gm)?.length;
      const labels = { table, ip_family: 'IPv4' };
      t.equal(seriesValue(page, 'kubeproxy_sync_proxy_rules_iptables_total', labels), rules, table);
    }
    const counted = seriesValue(page, 'kubeproxy_iptables_localhost_nodeports_accepted_packets_total');
    if (agent.output.includes('packet counters of rules are left out')) t.equal(counted, undefined);
    else t.equal(counted, 1, 'the connection to the node port on loopback');

    agent.write('cart.json', shopObjects({ ...CART, endpoints: ['10.1.0.3'] }));
    t.ok(await eventually(async () => (await ask('172.30.0.1')) === '10.1.0.3'), 'the new endpoint answers');
    t.same([...(await reached('172.30.0.1', 10))], ['10.1.0.3'], 'and only that one');

    agent.write('cart.json', shopObjects({ ...CART, endpoints: [] }));
    t.ok(await eventually(async () => (await ask('172.30.0.1')) === 'ECONNREFUSED'), 'refused at once');

    agent.remove('cart.json');
    t.ok(await eventually(() => !savedRules().includes('shop/cart')), 'nothing is left of a removed Service');
    t.equal(await agent.end('SIGTERM'), 0, 'ends with status 0');
  });

  t.test('a manifest that does not parse changes nothing and is named', async (t) => {
    await using agent = new AgentProcess(SETTINGS);
    agent.write('cart.json', shopObjects(CART));
    agent.write('bad.json', [
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'bad', namespace: 'shop' },
        spec: { clusterIP: '10.9.9', ports: [{ port: 70_000 }] },
      },
    ]);
    agent.start();
    t.ok(await agent.ready(), 'ready in spite of a bad object');
    t.match(agent.output, /Service shop\/bad: .*spec\.clusterIP.*10\.9\.9.*spec\.ports\[0\]\.port.*70000/);
    t.ok(CART.endpoints.includes(await ask('172.30.0.1')), 'the other Service works');
  });

  t.test('what is wrong with the call ends it at once and touches nothing', async (t) => {
    const before = savedRules();
    for (const [args, words] of [
      ['run --manifests /no/such/folder', /\/no\/such\/folder does not exist\n→ /],
      ['run', /there is nothing to take Services from\n→ /],
      ['run --manifest /tmp', /--manifest.*--manifests/s],
      ['no-such-command', /there is no command "no-such-command"/],
    ] as const) {
      const { status, stderr } = spawnSync(...plain('timeout', '20', PENSTOCK, ...args.split(' ')), {
        encoding: 'utf8',
      });
      t.ok(status === 1 || status === 2, `${args}: status ${status}`);
      t.match(stderr, words, args);
    }
    t.equal(savedRules(), before);
  });

  for (const backend of ['nft', 'legacy']) {
    t.test(`repairs what others change (${backend})`, async (t) => {
      const program = `iptables-${backend}`;
      const damaged = (command: string) => command.replaceAll(/\biptables\b/g, program);
      shell(damaged(FOREIGN));
      await using agent = new AgentProcess(`${SETTINGS}penstock: {iptablesBackend: ${backend}}\n`);
      agent.write('cart.json', shopObjects(CART));
      agent.start();
      t.ok(await agent.ready());
      const whole = savedRules(program);
      const damages = [
        'iptables -t nat -F',
        'iptables -t nat -F KUBE-SERVICES',
        'iptables -t nat -D POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
        'iptables -t filter -F KUBE-FORWARD',
        'iptables -t nat -F $(iptables -t nat -S | grep -o "KUBE-SEP-[A-Z0-9]*" | head -1)',
        'iptables -t nat -I KUBE-SERVICES -p tcp --dport 80 -j RETURN',
      ];
      for (const damage of damages) {
        shell(damaged(damage));
        t.not(savedRules(program), whole, `${damage}: done`);
        // A flush of nat takes the rules of others along; only ours can come back.
        const ours = (text: string) =>
          text
            .split('\n')
            .filter((line) => line.includes('KUBE-'))
            .sort()
            .join('\n');
        t.ok(await eventually(() => ours(savedRules(program)) === ours(whole)), `${damage}: repaired`);
        t.ok(CART.endpoints.includes(await ask('172.30.0.1')), `${damage}: traffic flows`);
      }
      t.match(agent.output, /somebody changed our rules, repairing: IPv4: .* \(table nat\) is gone/);
      if (backend === 'nft') {
        shell('nft flush ruleset');
        const flows = async () => CART.endpoints.includes(await ask('172.30.0.1', 80, 200));
        t.ok(await eventually(flows), 'nft flush ruleset: repaired');
      }
      t.equal(await agent.end('SIGTERM'), 0);
      shell(
        `${PENSTOCK} cleanup; ${damaged('iptables -F; iptables -t nat -F; iptables -t nat -X; iptables -t mangle -F')}`,
      );
    });
  }

  t.test(`SIGKILL and restart, ${RESTARTS} times: no connect fails`, async (t) => {
    await using agent = new AgentProcess(SETTINGS);
    agent.write('cart.json', shopObjects(CART));
    agent.start();
    t.ok(await agent.ready());
    const client = new PacedClient('172.30.0.1', CART.endpoints);
    for (let i = 0; i < RESTARTS; i++) {
      t.equal(await agent.end('SIGKILL'), 'SIGKILL');
      agent.start();
      t.ok(await agent.ready(), `restart ${i + 1}`);
    }
    await client.stop();
    t.ok(client.connects > 100, `${client.connects} connects were made`);
    t.same(client.failures, [], 'none failed');
  });

  t.test('health-check node port tells of local endpoints', async (t) => {
    await using agent = new AgentProcess(SETTINGS);
    const spec = {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 32_500,
      port: { nodePort: NODE_PORT },
    };
    agent.write('cart.json', shopObjects({ ...CART, spec }));
    agent.start();
    t.ok(await agent.ready());
    t.equal(await status('/', 32_500), 200);
    agent.write('cart.json', shopObjects({ ...CART, spec, endpoints: [] }));
    t.ok(await eventually(async () => (await status('/', 32_500)) === 503), '503 without local endpoints');
    agent.remove('cart.json');
    t.ok(await eventually(async () => (await status('/', 32_500)) === 0), 'closed with its Service');
  });

  for (const backend of ['nft', 'legacy']) {
    t.test(`cleanup leaves exactly what was there before (${backend})`, async (t) => {
      const program = `iptables-${backend}`;
      const cleanup = () => shell(`${PENSTOCK} cleanup`);
      cleanup();
      shell(FOREIGN.replaceAll('iptables', program));
      const routeLocalnet = () => shell('cat /proc/sys/net/ipv4/conf/all/route_localnet').trim();
      t.equal(routeLocalnet(), '0');
      const before = savedRules(program);
      await using agent = new AgentProcess(`${SETTINGS}penstock: {iptablesBackend: ${backend}}\n`);
      agent.write(
        'cart.json',
        shopObjects({ ...CART, spec: { type: 'NodePort', port: { nodePort: NODE_PORT } } }),
      );
      agent.start();
      t.ok(await agent.ready());
      t.ok(CART.endpoints.includes(await ask('172.30.0.1')), 'traffic flows');
      t.equal(routeLocalnet(), '1');
      t.equal(await agent.end('SIGTERM'), 0);
      t.ok(CART.endpoints.includes(await ask('172.30.0.1')), 'traffic flows without an agent');
      t.match(shell(`${PENSTOCK} cleanup --dry-run`), /-X KUBE-SERVICES/);
      t.ok(CART.endpoints.includes(await ask('172.30.0.1')), 'a dry run removes nothing');
      cleanup();
      t.equal(savedRules(program), before, 'same rules as before');
      t.equal(routeLocalnet(), '0', 'the kernel parameter is back');
      shell(`${program} -F; ${program} -t nat -F; ${program} -t nat -X; ${program} -t mangle -F`);
    });
  }
}
