/** A kube-proxy in a container, asked from the node: what it was called with names files that only its own root has. */
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../../src/time/Clock.js';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { FakeApiServer, type RawApiObject } from '../../support/FakeApiServer.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { StandIn } from '../../support/StandIn.js';
import { serveApi } from '../../support/serveApi.js';
import { shopObjects } from '../../support/shopObjects.js';

const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] };
const TOKEN = 'of-its-own-root';

/** Not one of spawnSync(): the API server is of this process. */
async function penstock(...args: readonly string[]) {
  const child = spawn(...plain(PENSTOCK, ...args));
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
  const status = await new Promise((resolve) => child.once('close', resolve));
  return { status, said };
}

if (await inNetns(import.meta.url)) {
  t.test('configuration, kubeconfig and token are found through its root', async (t) => {
    shell('ip link set lo up; ip link add out type veth peer name peer; ip link set out up');
    shell('ip addr add 10.200.0.10/24 dev out');
    const fake = new FakeApiServer(systemClock);
    const api = await serveApi(fake, 0, {
      authorized: ({ headers }) => headers.authorization === `Bearer ${TOKEN}`,
    });
    t.teardown(() => api.close());
    fake.put('/api/v1/nodes', {
      kind: 'Node',
      apiVersion: 'v1',
      metadata: { name: 'node1' },
    } as RawApiObject);
    for (const object of shopObjects(CART)) {
      const { kind } = object as { readonly kind: string };
      const path = kind === 'Service' ? '/api/v1/services' : '/apis/discovery.k8s.io/v1/endpointslices';
      fake.put(path, object as RawApiObject);
    }

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
      const migrated = await penstock('migrate');
      t.equal(migrated.status, 0, migrated.said);
      t.match(migrated.said, 'on node node1', called);
      t.match(migrated.said, '1 Services were looked at');
      const compared = await penstock('compare');
      t.equal(compared.status, 0, compared.said);
      kubeProxy.kill('SIGKILL');
      await new Promise((resolve) => kubeProxy.once('close', resolve));
    }
  });
}
