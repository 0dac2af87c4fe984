/** `penstock cleanup --keep auto`: beside a kube-proxy, wherever that listens, beside an agent, and alone. */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';

/** Has kube-proxy's page as soon as the port is free, as kube-proxy tries again to bind it. */
const KUBE_PROXY = `
const port = Number(process.argv.find((word) => /^--metrics/.test(word))?.split(':').pop() ?? 10249);
const server = require('node:http').createServer((request, response) =>
  request.url === '/proxyMode' ? response.end('iptables') : response.writeHead(404).end());
server.on('error', () => setTimeout(() => server.listen(port, '127.0.0.1'), 1500));
server.listen(port, '127.0.0.1');`;

function cleanup(words: string): { readonly status: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync(...plain('sh', '-c', `${PENSTOCK} cleanup ${words}`), {
    encoding: 'utf8',
  });
  return { status, said: stdout + stderr };
}
const hasChains = () => shell('iptables-save').includes(':KUBE-SERVICES');

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');
  t.test('cleanup --keep auto', async (t) => {
    await using agent = new AgentProcess(
      'mode: iptables\nclusterCIDR: 10.0.0.0/8\nmetricsBindAddress: 127.0.0.1:10249\n',
    );
    agent.write('cart.json', shopObjects({ name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] }));
    agent.start();
    t.ok(await agent.ready());

    const wrong = cleanup('--stop --keep iptabels');
    t.equal(wrong.status, 2, wrong.said);
    const beside = cleanup('--keep auto --check');
    t.ok(shell('ss -Hltn').includes(':10249'), 'the agent runs on after a wrong call');
    t.equal(beside.status, 1, 'it is no kube-proxy');
    t.match(beside.said, /still there: .*iptables/);

    const kubeProxy = spawn(process.execPath, ['-e', KUBE_PROXY], { stdio: 'inherit' });
    t.teardown(() => kubeProxy.kill('SIGKILL'));
    const kept = cleanup('--stop --keep auto');
    t.match(kept.said, 'kube-proxy serves in mode iptables');
    t.ok(hasChains(), 'what both have stays');

    kubeProxy.kill('SIGKILL');
    t.ok(await eventually(() => !shell('ss -Hltn').includes(':10249')));
    const ended = cleanup('--keep auto');
    t.match(ended.said, /KUBE-PROXY-CANARY is here, which only a kube-proxy writes/, 'both wrote the chains');
    t.equal(ended.status, 2, ended.said);
    t.ok(hasChains());
    const alone = cleanup('');
    t.equal(alone.status, 0, alone.said);
    t.notOk(hasChains());
  });

  t.test('a kube-proxy on another address, or of which only rules are seen', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'penstock-keep-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    // A program of that name, as the kernel has it.
    const program = join(folder, 'kube-proxy');
    copyFileSync(process.execPath, program);
    const script = join(folder, 'serve.cjs');
    writeFileSync(script, KUBE_PROXY);
    const config = join(folder, 'config.conf');
    writeFileSync(
      config,
      'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmetricsBindAddress: 127.0.0.1:20250\n',
    );
    shell(
      `iptables-restore <<'END'\n*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-X - [0:0]\n-A KUBE-SERVICES -j KUBE-SVC-X\nCOMMIT\nEND`,
    );

    for (const flags of ['--metrics-bind-address=127.0.0.1:20249', `--config=${config}`]) {
      const kubeProxy = spawn(...plain(program, script, flags), { stdio: 'inherit' });
      t.ok(
        await eventually(
          () => spawnSync('grep', ['-q', 'kube-proxy', `/proc/${kubeProxy.pid}/comm`]).status === 0,
        ),
      );
      const kept = cleanup('--keep auto');
      t.match(kept.said, 'kube-proxy serves in mode iptables', flags);
      t.equal(kept.status, 0, kept.said);
      t.ok(hasChains(), flags);
      kubeProxy.kill('SIGKILL');
      await new Promise((resolve) => kubeProxy.once('close', resolve));
    }

    const canary = 'iptables -t mangle -N KUBE-PROXY-CANARY';
    for (const rules of [canary, 'nft add table ip6 kube-proxy']) {
      shell(rules);
      const unclear = cleanup('--keep auto');
      t.match(
        unclear.said,
        /is here, which only a kube-proxy writes.* nothing was removed\n→ Use --keep/,
        rules,
      );
      t.equal(unclear.status, 2);
      t.ok(hasChains(), rules);
      shell(rules.replace(' -N ', ' -X ').replace(' add ', ' delete '));
    }
    const nobody = cleanup('--keep auto');
    t.match(nobody.said, /no kube-proxy listens on 127\.0\.0\.1:10249, or runs, or has rules here/);
    t.equal(nobody.status, 0, nobody.said);
    t.notOk(hasChains(), 'without a sign of one everything goes');
  });

  t.test('what could not be removed is still ours at the next try', async (t) => {
    await using agent = new AgentProcess('mode: iptables\nclusterCIDR: 10.0.0.0/8\n');
    agent.write('cart.json', shopObjects({ name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] }));
    agent.start();
    t.ok(await agent.ready());
    await agent.end('SIGKILL');
    // As while another program holds the lock.
    const folder = mkdtempSync(join(tmpdir(), 'penstock-locked-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    for (const name of ['iptables', 'ip6tables', 'iptables-nft', 'ip6tables-nft'])
      writeFileSync(join(folder, `${name}-restore`), '#!/bin/sh\nexit 4\n', { mode: 0o755 });
    const { PATH } = process.env;
    process.env.PATH = `${folder}:${PATH}`;
    const failed = cleanup('--keep auto');
    process.env.PATH = PATH;
    t.equal(failed.status, 1, failed.said);
    t.ok(hasChains());
    const again = cleanup('--keep auto');
    t.equal(again.status, 0, again.said);
    t.notOk(hasChains());
  });

  t.test('cleanup --mode beside an agent of another mode', async (t) => {
    await using agent = new AgentProcess('mode: nftables\nclusterCIDR: 10.0.0.0/8\n');
    agent.write('cart.json', shopObjects({ name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] }));
    agent.start();
    t.ok(await agent.ready());
    // As kube-proxy leaves them where an agent in a pod may not open legacy tables (docs/replace-kube-proxy.md, step 5).
    shell(
      'iptables-legacy -t nat -N KUBE-SERVICES; nft add table ip penstock-failures; nft add table ip penstock-choice',
    );
    const other = cleanup('--mode iptables');
    t.equal(other.status, 0, other.said);
    t.notMatch(shell('iptables-legacy-save'), /KUBE/);
    const tables = shell('nft list tables');
    t.notMatch(tables, 'penstock-failures');
    t.match(tables, 'table ip penstock-choice', 'mode nftables has it too');
    t.match(tables, /^table ip penstock$/m, 'it serves on');
    for (const words of ['--mode nftables', '']) {
      const own = cleanup(words);
      t.equal(own.status, 1, own.said);
      t.match(own.said, 'serves this node already');
    }
    await agent.end('SIGTERM');
    t.equal(cleanup('').status, 0);
  });
}
