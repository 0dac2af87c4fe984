/** One agent a node; and what one that gave up capabilities can still read. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { NodeLock } from '../../../src/host/NodeLock.js';
import { lockFile } from '../../../src/kernel/host/stateFiles.js';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, listedRuleset, plain, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';

const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] };
const penstock = (...args: readonly string[]) =>
  spawnSync(...plain('timeout', '20', PENSTOCK, ...args), { encoding: 'utf8' });

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');

  t.test('one agent a node; cleanup beside it refuses, or ends it', async (t) => {
    await using first = new AgentProcess('mode: nftables\n');
    first.write('cart.json', shopObjects(CART));
    first.start();
    t.ok(await first.ready());
    await using second = new AgentProcess('mode: iptables\nmetricsBindAddress: 127.0.0.1:10250\n');
    second.start();
    t.equal(await second.ended(), 1);
    t.match(
      second.output,
      new RegExp(`penstock [\\d.]+ \\(pid ${first.pid}, on .*\\) serves this node already`),
    );
    t.match(listedRuleset('table ip penstock'), '172.30.0.1');
    const refused = penstock('cleanup');
    t.equal(refused.status, 1);
    t.match(
      refused.stderr,
      new RegExp(`pid ${first.pid}.* serves this node already\n→ End it first, or use --stop`),
    );
    t.match(listedRuleset('table ip penstock'), '172.30.0.1', 'nothing was removed');
    t.equal(penstock('cleanup', '--dry-run').status, 0, 'a look is free');
    // Another network namespace is another node.
    const elsewhere = spawnSync(...plain('unshare', '--net', PENSTOCK, 'cleanup'), { encoding: 'utf8' });
    t.equal(elsewhere.status, 0, elsewhere.stderr);
    const stopped = penstock('cleanup', '--stop');
    t.equal(stopped.status, 0, stopped.stderr);
    t.match(stopped.stdout, /^stopping penstock .*nftables: table ip penstock removed/s);
    t.equal(await first.ended(), 0);
    t.equal(listedRuleset(), '');
  });

  t.test('cleanup notices an agent that cannot write to /run, and one whose /run is another', async (t) => {
    const folder = dirname(lockFile());
    mkdirSync(folder, { recursive: true });
    for (const [name, options] of [
      ['read-only', '-o ro'],
      ['another', '-o rw'],
    ] as const) {
      await using agent = new AgentProcess('mode: nftables\n');
      agent.write('cart.json', shopObjects(CART));
      // In a mount namespace of its own, as a container: nobody else sees that.
      const script = `mount -t tmpfs ${options} none ${folder}; exec "$@"`;
      agent.start(['unshare', '--mount', 'sh', '-ec', script, 'sh']);
      t.ok(await agent.ready(), name);
      const refused = penstock('cleanup');
      t.equal(refused.status, 1, name);
      t.match(refused.stderr, new RegExp(`pid ${agent.pid}\\).* serves this node already`));
      t.match(listedRuleset('table ip penstock'), '172.30.0.1', 'nothing was removed');
      const stopped = penstock('cleanup', '--stop');
      t.equal(stopped.status, 0, stopped.stderr);
      t.equal(await agent.ended(), 0);
      t.equal(listedRuleset(), '');
    }
  });

  t.test('what is no penstock and has the namespace locked keeps nobody from anything', async (t) => {
    const stranger = spawn(...plain('flock', '/proc/self/ns/net', 'sleep', '60'), { stdio: 'ignore' });
    t.teardown(() => stranger.kill('SIGKILL'));
    t.ok(
      await eventually(() => spawnSync(...plain('flock', '-n', '/proc/self/ns/net', 'true')).status === 1),
    );
    await using agent = new AgentProcess('mode: nftables\n');
    agent.start();
    t.ok(await agent.ready());
    await agent.end('SIGTERM');
    t.equal(penstock('cleanup').status, 0);
  });

  t.test('what is no penstock and has the lock is named, and not ended', async (t) => {
    const file = lockFile();
    mkdirSync(dirname(file), { recursive: true });
    const stranger = spawn(...plain('flock', file, 'sleep', '60'), { stdio: 'ignore' });
    t.teardown(() => stranger.kill('SIGKILL'));
    t.ok(await eventually(() => NodeLock.holder() !== undefined));
    const stopped = penstock('cleanup', '--stop');
    t.equal(stopped.status, 1);
    t.match(
      stopped.stderr,
      new RegExp(`flock \\(pid ${stranger.pid}\\), which is no penstock, has the lock`),
    );
    t.equal(stranger.exitCode ?? stranger.signalCode, null, 'it lives on');
    await using agent = new AgentProcess('mode: nftables\n');
    agent.start();
    t.equal(await agent.ended(), 1);
    t.match(agent.output, /flock .*is no penstock.*\n→ See what it is/);
    rmSync(file);
  });

  t.test('after kill -9 the next one begins at once', async (t) => {
    await using agent = new AgentProcess('mode: nftables\n');
    agent.start();
    t.ok(await agent.ready());
    await agent.end('SIGKILL');
    agent.start();
    t.ok(await agent.ready());
    t.equal(await agent.end('SIGTERM'), 0);
    shell(`${PENSTOCK} cleanup`);
  });

  t.test('configuration and manifests in a folder that only another user may enter', async (t) => {
    await using agent = new AgentProcess('mode: nftables\n');
    const home = join(t.testdir({}), 'home');
    mkdirSync(home, { mode: 0o700 });
    chownSync(home, 4711, 4711);
    const config = join(home, 'config.yaml');
    const write = (cidr: string) =>
      writeFileSync(
        config,
        `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\nclusterCIDR: ${cidr}\nclientConnection: {kubeconfig: ${join(home, 'kubeconfig')}}\n`,
      );
    write('10.0.0.0/8');
    // A kubeconfig in there, too: its server does not answer, which is enough.
    const kubeconfig = join(home, 'kubeconfig');
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        'current-context': 'a',
        contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
        clusters: [{ name: 'a', cluster: { server: 'http://127.0.0.1:1' } }],
        users: [{ name: 'a', user: { tokenFile: join(home, 'token') } }],
      }),
    );
    writeFileSync(join(home, 'token'), 'secret');
    chmodSync(join(home, 'token'), 0o600);
    for (const name of readdirSync(home)) chownSync(join(home, name), 4711, 4711);
    agent.start([], ['--config', config]);
    t.ok(
      await eventually(() =>
        /CAP_DAC_READ_SEARCH is kept, .*home is of user 4711, mode 700/.test(agent.output),
      ),
    );
    t.ok(await eventually(() => /ECONNREFUSED/.test(agent.output)), 'it got as far as the API server');
    t.notMatch(agent.output, /EACCES[^\n]*home/);
    write('10.0.0.0/9');
    t.ok(await eventually(() => agent.output.includes('changed: clusterCIDR')), 'it reads it again');
    t.equal(await agent.end('SIGTERM'), 0);
    shell(`${PENSTOCK} cleanup`);
  });
}
