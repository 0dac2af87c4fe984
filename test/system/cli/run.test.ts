/** penstock run in the forms that end by themselves, as users call them. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readOnce } from '../../../src/agent/readOnce.js';
import { RoutingTable } from '../../../src/routing/RoutingTable.js';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { listedRuleset, plain, savedRules, shell } from '../../support/iptables.js';
import { SourceWorld } from '../../support/sourceWorld.js';

const run = (...args: readonly string[]) =>
  spawnSync(...plain('timeout', '20', PENSTOCK, 'run', ...args), { encoding: 'utf8' });

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');
  t.test('--version', async (t) => {
    const { version } = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8'));
    t.match(run('--version'), { status: 0, stdout: `penstock ${version}\n`, stderr: '' });
    t.match(run('--version=raw'), { status: 2, stderr: /--version must be true or false, not "raw"/ });
  });

  t.test('--write-config-to writes what can be read again', async (t) => {
    const folder = t.testdir();
    const [first, second] = [join(folder, 'first.yaml'), join(folder, 'second.yaml')];
    t.match(run('--proxy-mode', 'ipvs', '--cluster-cidr', '10.0.0.0/8', '--write-config-to', first), {
      status: 0,
      stderr: '',
    });
    const text = readFileSync(first, 'utf8');
    t.match(text, /^mode: ipvs$/m);
    t.match(text, /^clusterCIDR: 10\.0\.0\.0\/8$/m);
    t.equal(run('--config', first, '--write-config-to', second).status, 0);
    t.equal(readFileSync(second, 'utf8'), text);
    const { status, stderr } = run('--write-config-to', join(folder, 'nowhere/file.yaml'));
    t.equal(status, 1);
    t.match(stderr, /^penstock run: --write-config-to .*nowhere\/file\.yaml: ENOENT.*\n→ Name a file/);
    t.notMatch(stderr, / at .*\.js:/, 'no stack');
  });

  t.test('--init-only makes the settings of the host and says that this was all', async (t) => {
    shell('sysctl -qw net.ipv4.conf.all.route_localnet=0');
    const { status, stdout } = run('--init-only', '--proxy-mode', 'iptables');
    t.equal(status, 0);
    t.match(stdout, /--init-only: the settings of the host are made, nothing is served\n$/);
    t.equal(shell('sysctl -n net.ipv4.conf.all.route_localnet').trim(), '1');
    t.notMatch(savedRules(), 'KUBE-SERVICES', 'no rules');
    shell('sysctl -qw net.ipv4.conf.all.route_localnet=0');
  });

  t.test('--init-only --dry-run prints what it would set, without asking for Services', async (t) => {
    const { status, stdout } = run('--init-only', '--dry-run', '--proxy-mode', 'iptables');
    t.equal(status, 0);
    t.match(stdout, /^sysctl -w net\.ipv4\.conf\.all\.route_localnet=1 {3}# now: 0$/m);
    t.notMatch(stdout, /KUBE-|^add table/m);
    t.equal(shell('sysctl -n net.ipv4.conf.all.route_localnet').trim(), '0');
  });

  t.test('--dry-run prints the rules and writes none', async (t) => {
    const manifests = t.testdir({
      'web.yaml': `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop},
        spec: {clusterIP: 172.30.0.1, ports: [{port: 80}]}}`,
    });
    for (const [mode, text] of [
      ['nftables', /172\.30\.0\.1 \. tcp \. 80/],
      ['iptables', /has no endpoints.* -d 172\.30\.0\.1\/?/],
    ] as const) {
      const { status, stdout } = run('--dry-run', '--manifests', manifests, '--proxy-mode', mode);
      t.equal(status, 0);
      t.match(stdout, new RegExp(`^# mode ${mode}, node .*; nothing is changed\n`));
      t.match(stdout, text);
    }
    t.equal(listedRuleset(), '');
    t.match(run('--dry-run'), { status: 2, stderr: /there is nothing to take Services from/ });
  });

  t.test('--dry-run does not wait for ever for an API server', async (t) => {
    const world = await SourceWorld.open(t, {
      speed: 1,
      connection: () => ({ server: 'http://127.0.0.1:1' }),
    });
    const table = new RoutingTable({
      nodeName: 'node1',
      serviceProxyName: '',
      fallbackAddresses: {},
      fixedAddresses: {},
    });
    await t.rejects(readOnce(world.source, table, 1000), {
      code: 'PENSTOCK_SOURCE_UNREADABLE',
      message: /^API server http:\/\/127\.0\.0\.1:1: services could not be read for 1 s: .*ECONNREFUSED/,
    });
  });
}
