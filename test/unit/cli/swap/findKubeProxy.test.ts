/** Where a kube-proxy is looked for, one sign after the other, and what each says. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findKubeProxy, type KubeProxySigns } from '../../../../src/cli/host/findKubeProxy.js';
import type { kubeProxyMode } from '../../../../src/cli/host/kubeProxyMode.js';
import { kubeProxyProcess } from '../../../../src/cli/swap/kubeProxyProcess.js';

type Said = Awaited<ReturnType<typeof kubeProxyMode>>;
type Running = ReturnType<KubeProxySigns['process']>;

/** `answers`: by port; nobody listens elsewhere. */
function signs(answers: Readonly<Record<number, Said>>, running?: Running, rules: readonly string[] = []) {
  const asked: string[] = [];
  const ask: KubeProxySigns['ask'] = async ({ host, port } = { host: '', port: 0 }) => {
    asked.push(`${host} ${port}`);
    return answers[port] ?? 'nobody';
  };
  return { asked, signs: { ask, process: () => running, rules: async () => rules } };
}

const called = (mode: string, host = '192.0.2.1', port = 20_249) => ({
  pid: 7,
  flags: [],
  called: { mode, metrics: { host, port } as NonNullable<NonNullable<Running>['called']>['metrics'] },
});

t.test('it answers at its own address', async (t) => {
  t.same(await findKubeProxy(signs({ 10249: 'ipvs' }, undefined, ['x']).signs), {
    type: 'serves',
    mode: 'ipvs',
  });
});

t.test('it answers elsewhere: its process tells where', async (t) => {
  const { asked, signs: given } = signs({ 20249: 'nftables' }, called('iptables', '0.0.0.0'));
  t.same(
    await findKubeProxy(given),
    { type: 'serves', mode: 'nftables' },
    'its word before its configuration',
  );
  t.same(asked, ['127.0.0.1 10249', '127.0.0.1 20249']);
  const other = signs({ 10249: 'unclear', 20249: 'ipvs' }, called('ipvs', '::'));
  t.same(
    await findKubeProxy(other.signs),
    { type: 'serves', mode: 'ipvs' },
    'another program has the usual port',
  );
  t.same(other.asked, ['127.0.0.1 10249', '::1 20249']);
});

t.test('it runs and does not answer', async (t) => {
  t.same(await findKubeProxy(signs({}, called('ipvs')).signs), { type: 'serves', mode: 'ipvs' });
  const unread = await findKubeProxy(signs({}, { pid: 7, flags: [], called: undefined }).signs);
  t.match(unread, { type: 'unclear', why: 'kube-proxy runs (pid 7), and its mode is not known' });
  t.match(await findKubeProxy(signs({}, called('userspace')).signs), { type: 'unclear' });
});

t.test('rules alone are no answer, and nothing is nobody', async (t) => {
  const why = /^the link kube-ipvs0 \(and the iptables chain X\) is here, which only a kube-proxy writes/;
  t.match(await findKubeProxy(signs({}, undefined, ['the link kube-ipvs0', 'the iptables chain X']).signs), {
    type: 'unclear',
    why,
  });
  t.match(await findKubeProxy(signs({ 10249: 'unclear' }).signs), {
    type: 'unclear',
    why: /127\.0\.0\.1:10249/,
  });
  t.same(await findKubeProxy(signs({}).signs), { type: 'nobody' });
});

/** A procfs with these processes; `ns`: the network namespace of each. */
function procfs(
  t: Test,
  processes: Readonly<Record<string, { words: readonly string[]; ns?: string; file?: string }>>,
) {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-proc-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const all: typeof processes = { ...processes, self: { words: [] } };
  for (const [pid, { words, ns = 'net:[1]', file }] of Object.entries(all)) {
    mkdirSync(join(folder, pid, 'ns'), { recursive: true });
    symlinkSync(ns, join(folder, pid, 'ns/net'));
    writeFileSync(join(folder, pid, 'cmdline'), words.map((word) => `${word}\0`).join(''));
    if (file === undefined) continue;
    mkdirSync(join(folder, pid, 'root/etc'), { recursive: true });
    writeFileSync(join(folder, pid, 'root/etc/config.conf'), file);
  }
  return folder;
}

const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const PROGRAM = '/usr/local/bin/kube-proxy';

t.test('how a kube-proxy was called', async (t) => {
  const only = (words: readonly string[], more: { ns?: string; file?: string } = {}) =>
    kubeProxyProcess(procfs(t, { 5: { words: ['/bin/sh', '-c', 'kube-proxy'] }, 12: { words, ...more } }));
  t.match(only([PROGRAM, '--metrics-bind-address=127.0.0.1:20249', '--proxy-mode', 'ipvs']), {
    pid: 12,
    called: { mode: 'ipvs', metrics: { host: '127.0.0.1', port: 20_249 } },
  });
  const file = `${HEAD}mode: nftables\nmetricsBindAddress: "[fd00::1]:9000"\n`;
  t.match(only([PROGRAM, '--config=/etc/config.conf', '--hostname-override=node1'], { file }), {
    flags: ['--config=/etc/config.conf', '--hostname-override=node1'],
    called: { mode: 'nftables', metrics: { host: 'fd00::1', port: 9000 } },
  });
  t.match(only(['kube-proxy']), {
    called: { mode: 'iptables', metrics: { host: '127.0.0.1', port: 10_249 } },
  });
  t.equal(only([PROGRAM, '--config=/etc/config.conf'])?.called, undefined, 'its file cannot be read');
  t.equal(only([PROGRAM], { ns: 'net:[2]' }), undefined, 'of another network namespace');
  t.equal(only(['/usr/bin/vi', PROGRAM]), undefined, 'another program');
});
