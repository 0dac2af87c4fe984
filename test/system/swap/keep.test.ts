/** `penstock cleanup --keep auto`: beside a kube-proxy, beside an agent, and alone. */
import { spawn, spawnSync } from 'node:child_process';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';

/** Has kube-proxy's page as soon as the port is free, as kube-proxy tries again to bind it. */
const KUBE_PROXY = `
const server = require('node:http').createServer((request, response) =>
  request.url === '/proxyMode' ? response.end('iptables') : response.writeHead(404).end());
server.on('error', () => setTimeout(() => server.listen(10249, '127.0.0.1'), 1500));
server.listen(10249, '127.0.0.1');`;

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
    const alone = cleanup('--keep auto');
    t.match(alone.said, /no kube-proxy listens on 127\.0\.0\.1:10249/);
    t.equal(alone.status, 0, alone.said);
    t.notOk(hasChains());
  });
}
