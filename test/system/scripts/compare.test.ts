/** scripts/compare as a sceptic calls it, with a stand-in for kube-proxy that takes kube-proxy's flags. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { needsShared } from '../../support/shared.js';

t.setTimeout(900_000);
const MAIN = fileURLToPath(new URL('../../../bench/compare/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'compare-'));
t.teardown(() => rmSync(folder, { recursive: true }));

const SCENARIO = 'iptables/TestInternalTrafficPolicy/internalTrafficPolicy_is_cluster';

/** Its configuration is passed through sed first. */
const standIn = (edit: string) => `
while [ $# -gt 0 ]; do [ "$1" = --config ] && config=$2; shift; done
sed '${edit}' "$config" >"$config.its"; exec ${PENSTOCK} run --config "$config.its"`;

function program(name: string, body: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n[ "$1" = --version ] && { echo "Stand-in 1.0"; exit 0; }\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

async function compare(...words: string[]) {
  const run = promisify(execFile)(process.execPath, [MAIN, ...words], { maxBuffer: 1 << 26 });
  const { stdout, stderr, code } = await run.then(
    (ended) => ({ ...ended, code: 0 }),
    (error: { stdout: string; stderr: string; code: number }) => error,
  );
  return { stdout, stderr, code };
}

t.test('with a proxy that does the same: a page that says so, exit status 0', async (t) => {
  const sizes = ['--size', '20x2', '--changes', '2'];
  // All conformance flows take minutes.
  const words = ['--family', '4', '--penstock-mode', 'nftables', '--scenario', SCENARIO, ...sizes];
  const { stdout, stderr, code } = await compare('--kube-proxy', program('same', standIn('')), ...words);
  t.equal(code, 0, stderr);
  t.match(stdout, /^# kube-proxy and penstock, side by side\n\n- kube-proxy: Stand-in 1\.0\n/);
  t.match(stdout, /\| all +\| +198 of 198 \| +198 of 198 \|\n/);
  t.match(stdout, /No flow differs\./);
  t.match(stdout, /20 Services x 2 endpoints +\| kube-proxy, mode iptables \| penstock, mode nftables \|/);
  t.match(stdout, /change to first connection, median, ms +\| +\d+ \| +\d+ \|\n/);
});

t.test('with one that masquerades what it must not: each flow is named, exit status 1', async (t) => {
  const path = program('blind', standIn('/^clusterCIDR/d;/^detectLocalMode/d'));
  const words = ['--family', '4', '--penstock-mode', 'iptables', '--only', 'flows', '-o', 'json'];
  const { stdout, stderr, code } = await compare('--kube-proxy', path, ...words);
  t.equal(code, 1, stderr);
  const { flows, speed } = JSON.parse(stdout);
  t.same(speed, []);
  const different = flows.filter(({ same }: { same: boolean }) => !same);
  t.ok(different.length > 0);
  for (const { client, policy, results } of different) {
    t.equal(client, 'pod', 'only pods are taken for somebody else');
    t.match(policy, /external/, 'which shows where a policy asks who the client is');
    t.same(
      results.map(({ result }: { result: string }) => result),
      ['failed', 'passed'],
    );
  }
});

t.test('conformance flows, where they are: what each saw of a flow that differs', needsShared, async (t) => {
  const path = program('masquerades', standIn('s/masqueradeAll: false/masqueradeAll: true/'));
  const scenario = ['--only', 'conformance', '--scenario', SCENARIO];
  const words = [...scenario, '--penstock-mode', 'iptables', '-o', 'json'];
  const { stdout, stderr, code } = await compare('--kube-proxy', path, ...words);
  t.equal(code, 1, stderr);
  const { flows, conformance, speed } = JSON.parse(stdout);
  t.same([flows, speed], [[], []], 'nothing else is done');
  t.equal(conformance.length, 2);
  const different = conformance.filter(({ same }: { same: boolean }) => !same);
  t.ok(different.length > 0);
  for (const { flow, results } of different) {
    t.match(results[0], { passed: false, saw: /:\d+.*, masqueraded/ }, flow);
    t.match(results[1], { passed: true, saw: /, not masqueraded/ }, flow);
  }
  for (const { same, results } of conformance)
    t.ok(!same || results.every(({ passed }: { passed: boolean }) => passed));
});

t.test('what cannot be looked at: one line, exit status 2', async (t) => {
  const quiet = program('quiet', 'exec sleep 60');
  const plainFile = join(folder, 'plain');
  writeFileSync(plainFile, '');
  chmodSync(plainFile, 0o644);
  const cases: readonly [string[], RegExp][] = [
    [[], /--kube-proxy PATH is missing/],
    [['--kube-proxy', join(folder, 'none')], /none cannot be run: ENOENT/],
    [['--kube-proxy', folder], /cannot be run: no file/],
    [['--kube-proxy', plainFile], /cannot be run: EACCES/],
    [['--kube-proxy', '/bin/false'], /false does not say its --version/],
    [['--kube-proxy', quiet, '--size', '1000'], /--size "1000" is no size/],
    [['--kube-proxy', quiet, '--mode', 'fast'], /there is no mode "fast"/],
    [['--kube-proxy', quiet, '--only', 'all'], /--only "all": there are flows, conformance and speed/],
    [['--kube-proxy', quiet, '--conformance', folder], /--conformance .*: there is no flows\.json in it/],
    [['--kube-proxy', quiet, '--kubeproxy', 'x'], /there is no flag --kubeproxy.*Did you mean --kube-proxy/],
    [
      ['--kube-proxy', program('dies', 'echo "no such device" >&2; exit 3'), '--only', 'flows'],
      /kube-proxy, mode iptables: ended with status 3; its last words: no such device/,
    ],
    [
      ['--kube-proxy', quiet, '--only', 'speed', '--patience', '2', '--size', '2x1'],
      /kube-proxy, mode iptables: 172\.31\.255\.1:80\/TCP is not served after 2 s/,
    ],
  ];
  for (const [words, wanted] of cases) {
    const { stdout, stderr, code } = await compare(...words);
    t.equal(code, 2, words.join(' '));
    t.match(stderr, wanted);
    t.match(stderr, /^compare: [^\n]+\n$/, 'one line');
    t.equal(stdout, '');
  }
});
