/** What cannot be served ends with its error, and has touched nothing. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { listedRuleset, plain, shell } from '../../support/iptables.js';

const CLOSE_WAIT = '/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait';
const penstock = (...args: readonly string[]) =>
  spawnSync(...plain('timeout', '20', PENSTOCK, ...args), { encoding: 'utf8' });

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');

  t.test('a start that cannot be ends with its error, and has touched nothing', async (t) => {
    const before = readFileSync(CLOSE_WAIT, 'utf8');
    const broken = join(t.testdir({ kubeconfig: 'current-context: nowhere\n' }), 'kubeconfig');
    const cases: readonly (readonly [RegExp, ...string[]])[] = [
      [/\/nonexistent: .*ENOENT|\/nonexistent.*cannot be read/, '--kubeconfig', '/nonexistent'],
      [/kubeconfig.*contexts|current-context/, '--kubeconfig', broken],
      [/manifests.*\/nonexistent/, '--manifests', '/nonexistent'],
    ];
    for (const [words, ...args] of cases) {
      for (const mode of ['nftables', 'iptables', 'userspace']) {
        const { status, stderr } = penstock('run', '--proxy-mode', mode, ...args);
        t.equal(status, 2, `${mode} ${args.join(' ')}`);
        t.match(stderr, words);
        t.notMatch(stderr, 'still open', 'by itself');
      }
    }
    t.equal(readFileSync(CLOSE_WAIT, 'utf8'), before, 'no kernel parameter');
    t.equal(listedRuleset(), '', 'no rule');
  });

  t.test('an address that cannot be had, where it must, is known before the host is touched', async (t) => {
    const before = readFileSync(CLOSE_WAIT, 'utf8');
    const manifests = t.testdir({ 'a.yaml': '' });
    const { status, stderr } = penstock(
      ...['run', '--proxy-mode', 'nftables', '--manifests', manifests, '--bind-address-hard-fail'],
      ...['--metrics-bind-address', '203.0.113.1:10249'],
    );
    t.equal(status, 1);
    t.match(stderr, /metrics server: listen EADDRNOTAVAIL/);
    t.equal(readFileSync(CLOSE_WAIT, 'utf8'), before);
    t.equal(listedRuleset(), '');
  });

  t.test('with too few descriptors it says a sentence', async (t) => {
    for (const limit of [24, 48, 64]) {
      const call = `ulimit -n ${limit}; exec "$0" run --manifests /nonexistent`;
      const { stderr, status } = spawnSync(...plain('sh', '-c', call, PENSTOCK), { encoding: 'utf8' });
      t.equal(status, stderr.includes('manifests') ? 2 : 1);
      t.match(stderr, /too few file descriptors[\s\S]*→ Raise the limit|manifests/, `${limit}`);
      t.notMatch(stderr, / at .*:\d+:\d+/, 'no stack');
    }
  });
}
