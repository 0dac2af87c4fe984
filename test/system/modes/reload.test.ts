/** The configuration file changes while clients connect. */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { FileWatch } from '../../../src/agent/reload/FileWatch.js';
import { systemClock } from '../../../src/time/Clock.js';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, listedRuleset, savedRules, shell } from '../../support/iptables.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PacedClient } from '../../support/pacedClient.js';
import { shopObjects } from '../../support/shopObjects.js';

const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1', '10.1.0.2'] };
const CLOSE_WAIT = '/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait';

const table = () => listedRuleset('table ip penstock');

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(CART.endpoints);
  t.teardown(() => server.close());

  t.test('what can be is in force at once, the rest is said; no connect fails', async (t) => {
    await using agent = new AgentProcess('mode: nftables\nclusterCIDR: 10.0.0.0/8\n');
    const said = (words: string | RegExp) =>
      eventually(() => (typeof words === 'string' ? agent.output.includes(words) : words.test(agent.output)));
    agent.write('cart.json', shopObjects(CART));
    agent.start();
    t.ok(await agent.ready());
    t.match(table(), 'ip saddr != 10.0.0.0/8');
    const client = new PacedClient(CART.clusterIP, CART.endpoints);

    agent.configure('mode: nftables\nclusterCIDR: 10.0.0.0/9\n');
    t.ok(await said('changed: clusterCIDR; starting anew in this process'));
    t.ok(await eventually(() => table().includes('ip saddr != 10.0.0.0/9')), 'the rules follow');
    t.ok(await agent.ready());

    agent.configure('mode: iptables\nclusterCIDR: 10.0.0.0/9\n');
    t.ok(await said('changed: mode; starting anew'));
    t.ok(await eventually(() => savedRules().includes('KUBE-SVC-') && table() === ''), 'so does the mode');
    t.ok(await agent.ready());

    agent.configure('mode: iptables\nclusterCIDR: 10.0.0.0\n');
    t.ok(
      await said(
        /has changed and is not taken.*: .*clusterCIDR must be one address range.*not "10\.0\.0\.0"/,
      ),
    );
    agent.configure('mode: fast\n');
    t.ok(await said(/has changed and is not taken.*mode.*fast/s));

    agent.configure(
      'mode: iptables\nclusterCIDR: 10.0.0.0/9\nlogging: {verbosity: 4, format: json}\noomScoreAdj: 5\n',
    );
    t.ok(await said('changed: logging.format will be in force after a restart'));
    t.ok(await said('changed: logging.verbosity, oomScoreAdj; in force'));
    await client.stop();
    t.ok(client.connects > 20, `${client.connects} connects were made`);
    t.same(client.failures, [], 'none failed');
    t.equal(await agent.end('SIGTERM'), 0);
    shell(`${PENSTOCK} cleanup`);
  });

  t.test('limits of the connection table follow', async (t) => {
    await using agent = new AgentProcess('mode: nftables\n');
    agent.write('cart.json', shopObjects(CART));
    agent.start();
    t.ok(await agent.ready());
    agent.configureWhole('mode: nftables\nconntrack: {maxPerCore: 0, tcpCloseWaitTimeout: 77s}\n');
    t.ok(await eventually(() => shell(`cat ${CLOSE_WAIT}`).trim() === '77'));
    t.equal(await agent.end('SIGTERM'), 0);
    shell(`${PENSTOCK} cleanup`);
  });

  t.test('a start that fails leads back to the configuration before', async (t) => {
    await using agent = new AgentProcess('mode: nftables\n');
    agent.write('cart.json', shopObjects(CART));
    agent.start();
    t.ok(await agent.ready());
    agent.configure('mode: nftables\nbindAddressHardFail: true\nmetricsBindAddress: 203.0.113.1:10249\n');
    t.ok(
      await eventually(() =>
        /cannot be served, back to the one before: metrics server: listen EADDRNOTAVAIL/.test(agent.output),
      ),
      'that address is not of this host',
    );
    t.ok(await agent.ready(), 'and goes on');
    t.equal(await agent.end('SIGTERM'), 0);
    shell(`${PENSTOCK} cleanup`);
  });
}

t.test('a file is followed through the links of a ConfigMap', async (t) => {
  const folder = t.testdir({ first: { 'config.yaml': '1' }, second: { 'config.yaml': '2' } });
  const mount = join(folder, 'mount');
  mkdirSync(mount);
  symlinkSync('../first', join(mount, '..data'));
  symlinkSync('..data/config.yaml', join(mount, 'config.yaml'));
  let changes = 0;
  const watch = new FileWatch({
    file: join(mount, 'config.yaml'),
    onChange: () => {
      changes++;
    },
    lookEveryMs: 20,
    clock: systemClock,
  });
  symlinkSync('../second', join(mount, '..data_tmp'));
  renameSync(join(mount, '..data_tmp'), join(mount, '..data'));
  t.ok(await eventually(() => changes === 1));
  writeFileSync(join(mount, 'other'), '');
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(changes, 1, 'other files, and the same text, are no change');
  watch.close();
});
