/** Where a kube-proxy is looked for, one sign after the other, and what each says. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findKubeProxy, type KubeProxySigns } from '../../../../src/cli/host/findKubeProxy.js';
import type { kubeProxyMode } from '../../../../src/cli/host/kubeProxyMode.js';
import { filesOfProcess } from '../../../../src/cli/swap/filesOfProcess.js';
import { kubeProxyProcess } from '../../../../src/cli/swap/kubeProxyProcess.js';
import { fromRoot } from '../../../support/fromRoot.js';

type Said = Awaited<ReturnType<typeof kubeProxyMode>>;
type Running = ReturnType<KubeProxySigns['process']>;

/** `answers`: by port; nobody listens elsewhere. */
function signs(
  answers: Readonly<Record<number, Said>>,
  running?: Running,
  found: readonly string[] = [],
  unseen: readonly string[] = [],
) {
  const asked: string[] = [];
  const ask: KubeProxySigns['ask'] = async ({ host, port } = { host: '', port: 0 }) => {
    asked.push(`${host} ${port}`);
    return answers[port] ?? 'nobody';
  };
  return { asked, signs: { ask, process: () => running, rules: async () => ({ found, unseen }) } };
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
  const unseen = await findKubeProxy(
    signs({}, undefined, [], ['the iptables chain X cannot be looked for: y']).signs,
  );
  t.same(unseen, { type: 'unclear', why: 'the iptables chain X cannot be looked for: y' });
});

interface Faked {
  readonly words: readonly string[];
  /** Its network namespace, and its user namespace: '' for one that may not be looked at. */
  readonly ns?: string;
  readonly user?: string;
  readonly file?: string;
  /** Real, effective, saved, of files. */
  readonly uids?: string;
  readonly capabilities?: string;
  readonly exe?: string;
}

/** Of root in a container: NET_ADMIN is bit 12. */
const NET_ADMIN = '00000000a80435fb';

/** A procfs with these processes. */
function procfs(t: Test, processes: Readonly<Record<string, Faked>>) {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-proc-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const all: typeof processes = { ...processes, self: { words: [] } };
  for (const [pid, faked] of Object.entries(all)) {
    const { words, ns = 'net:[1]', user = 'user:[1]', file, uids = '0 0 0 0' } = faked;
    mkdirSync(join(folder, pid, 'ns'), { recursive: true });
    if (ns !== '') symlinkSync(ns, join(folder, pid, 'ns/net'));
    if (user !== '') symlinkSync(user, join(folder, pid, 'ns/user'));
    symlinkSync(faked.exe ?? PROGRAM, join(folder, pid, 'exe'));
    const status = `Name:\tx\nUid:\t${uids.replaceAll(' ', '\t')}\nCapEff:\t${faked.capabilities ?? NET_ADMIN}\n`;
    writeFileSync(join(folder, pid, 'status'), status);
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
  const only = (words: readonly string[], more: Omit<Faked, 'words'> = {}) =>
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
  t.match(only([PROGRAM], { exe: `${PROGRAM} (deleted)` }), { pid: 12 }, 'replaced by a newer one');
});

t.test('a process that anybody may have started says nothing', async (t) => {
  const words = ['kube-proxy', '--kubeconfig=/tmp/k', '--proxy-mode=ipvs'];
  const only = (faked: Omit<Faked, 'words'>) => kubeProxyProcess(procfs(t, { 12: { words, ...faked } }));
  t.match(only({}), { pid: 12, flags: ['--kubeconfig=/tmp/k', '--proxy-mode=ipvs'] });
  t.equal(only({ uids: '1000 1000 1000 1000' }), undefined, "a user's");
  t.equal(only({ uids: '1000 0 0 0' }), undefined, 'a program with the set-user-ID bit');
  t.equal(only({ exe: '/usr/bin/sudo' }), undefined, 'the same, of another program');
  t.equal(only({ capabilities: '0000000000000400' }), undefined, 'root without rights');
  t.equal(only({ user: 'user:[2]' }), undefined, 'root of its own user namespace');
  const unseen = { pid: 12, flags: [], called: undefined };
  t.same(only({ user: '' }), unseen, 'not to be looked at: one may be there, and nothing of it is used');
  t.same(only({ ns: '' }), unseen);
  const both = procfs(t, { 11: { words, user: '' }, 12: { words } });
  t.match(kubeProxyProcess(both), { pid: 12, called: { mode: 'ipvs' } }, 'one that is seen comes first');
});

t.test('a user calls a process kube-proxy', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-named-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const words = ['-e', 'console.log(1); setInterval(() => {}, 1000)', '--', '--kubeconfig=/tmp/k'];
  const child = spawn(process.execPath, words, {
    argv0: 'kube-proxy',
    uid: 65_534,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  t.match(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8'), /^kube-proxy\0/);
  t.not(kubeProxyProcess()?.pid, child.pid);
});

t.test('a link of another root leads where it leads there', async (t) => {
  const folder = join(procfs(t, { 12: { words: [PROGRAM], file: '' } }), '12');
  mkdirSync(join(folder, 'root/run/secrets'), { recursive: true });
  mkdirSync(join(folder, 'root/var'));
  symlinkSync('/run', join(folder, 'root/var/run'));
  symlinkSync('..data/token', join(folder, 'root/run/secrets/token'));
  symlinkSync('../../../..', join(folder, 'root/run/secrets/..data'));
  symlinkSync('/loop', join(folder, 'root/loop'));
  const at = filesOfProcess(folder);
  t.equal(at('/etc/config.conf'), `${folder}/root/etc/config.conf`);
  t.equal(at('/var/run/x'), `${folder}/root/run/x`);
  t.equal(at('/var/run/secrets/token'), `${folder}/root/token`, 'and never above its root');
  t.equal(at('/loop'), `${folder}/root/loop`);
  t.equal(at('config.conf'), `${folder}/cwd/config.conf`, 'its folder cannot be looked at');
  symlinkSync('/var/run', join(folder, 'cwd'));
  t.equal(at('../config.conf'), `${folder}/root/config.conf`);
});

t.test('its file is a plain one, and no longer than one can be', { timeout: 20_000 }, async (t) => {
  const folder = procfs(t, { 12: { words: [PROGRAM, '--config=/etc/config.conf'], file: '' } });
  const file = join(folder, '12/root/etc/config.conf');
  rmSync(file);
  // To open it waits for a writer.
  execFileSync('mkfifo', [file]);
  // Another process looks: a test that waits would not end.
  const module = fromRoot('dist/src/cli/swap/kubeProxyProcess.js').href;
  const script = `const { kubeProxyProcess } = await import(${JSON.stringify(module)});
    console.log(JSON.stringify(kubeProxyProcess(${JSON.stringify(folder)})));`;
  const said = () =>
    execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 8000,
    });
  t.same(JSON.parse(said()), { pid: 12, flags: ['--config=/etc/config.conf'] });
  rmSync(file);
  symlinkSync('/dev/zero', file);
  t.same(JSON.parse(said()), { pid: 12, flags: ['--config=/etc/config.conf'] });
});
