/** A kube-proxy in a container, asked from the node: what it was called with names files that only its own root has. */
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../../src/time/Clock.js';
import { FakeApiServer } from '../../support/FakeApiServer.js';
import { inNetns } from '../../support/inNetns.js';
import { command } from '../../support/interrupt.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { putNode, putObjects } from '../../support/putObjects.js';
import { StandIn } from '../../support/StandIn.js';
import { serveApi } from '../../support/serveApi.js';
import { shopObjects } from '../../support/shopObjects.js';

const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] };
const TOKEN = 'of-its-own-root';

if (await inNetns(import.meta.url)) {
  t.test('configuration, kubeconfig and token are found through its root', async (t) => {
    shell('ip link set lo up; ip link add out type veth peer name peer; ip link set out up');
    shell('ip addr add 10.200.0.10/24 dev out');
    const fake = new FakeApiServer(systemClock);
    const api = await serveApi(fake, 0, {
      authorized: ({ headers }) => headers.authorization === `Bearer ${TOKEN}`,
    });
    t.teardown(() => api.close());
    putNode(fake, 'node1');
    putObjects(fake, shopObjects(CART));

    const folder = mkdtempSync(join(tmpdir(), 'penstock-root-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const program = join(folder, 'kube-proxy');
    copyFileSync(process.execPath, program);
    const etc = join(folder, 'etc');
    mkdirSync(etc);
    // As kubeadm has it: a file of configuration names a kubeconfig, and that one a token which an absolute link leads to.
    const config = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: 10.0.0.0/8
hostnameOverride: node1
clientConnection: {kubeconfig: ${etc}/kubeconfig.conf}`;
    const kubeconfig = JSON.stringify({
      'current-context': 'here',
      contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server: api.url } }],
      users: [{ name: 'u', user: { tokenFile: 'current/token' } }],
    });
    const script = `mount -t tmpfs none '${etc}'; cd '${etc}'; mkdir data; ln -s '${etc}/data' current
cat >config.conf <<'END'\n${config}\nEND\ncat >kubeconfig.conf <<'END'\n${kubeconfig}\nEND\necho ${TOKEN} >data/token
exec '${program}' -e 'setInterval(() => {}, 1000)' -- "$1"`;

    const rules = new StandIn('iptables-nft');
    rules.write([CART]);
    for (const called of [`--config=${etc}/config.conf`, '--config=config.conf']) {
      const kubeProxy = spawn(...plain('unshare', '-m', 'sh', '-ec', script, 'sh', called), {
        stdio: 'inherit',
      });
      t.teardown(() => kubeProxy.kill('SIGKILL'));
      t.ok(await eventually(() => shell(`cat /proc/${kubeProxy.pid}/comm`).startsWith('kube-proxy')));
      t.notOk(existsSync(`${etc}/config.conf`), 'nobody else has these files');
      const migrated = await command('migrate');
      t.equal(migrated.code, 0, migrated.output);
      t.match(migrated.output, 'on node node1', called);
      t.match(migrated.output, '1 Services were looked at');
      const compared = await command('compare');
      t.equal(compared.code, 0, compared.output);
      kubeProxy.kill('SIGKILL');
      await new Promise((resolve) => kubeProxy.once('close', resolve));
    }
  });
}
