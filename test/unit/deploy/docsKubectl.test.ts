/** Every call of kubectl and helm in the docs is made as written: the real programs, and a small API server that does what they ask. */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readDocs } from '../../support/docs.js';
import {
  callsIn,
  DocsCluster,
  NODES,
  needsKubectl,
  type Ran,
  ROOT,
  sectionOf,
} from '../../support/docsCluster.js';
import { fromRoot } from '../../support/fromRoot.js';

t.setTimeout(180_000);
const needs = needsKubectl();
const page = readFileSync(fromRoot('docs/replace-kube-proxy.md'), 'utf8');
const LEFT = 'left: kube-proxy, mode iptables serves this node, our rules are removed, idling\n';
/** They want a shell in a pod, which is asked for and refused. */
const NEEDS_A_SHELL =
  /^kubectl( -n kube-system)? (debug|exec|port-forward|penstock .*(explain|web))|^kubectl penstock web/;
let made = 0;

async function openCluster(t: Test): Promise<DocsCluster> {
  const cluster = new DocsCluster();
  await cluster.open();
  cluster.server.log = (pod) => (pod.startsWith('penstock-') ? LEFT : '');
  t.teardown(async () => {
    await cluster.server.close();
    rmSync(cluster.folder, { recursive: true });
  });
  return cluster;
}

async function follow(t: Test, cluster: DocsCluster, text: string): Promise<readonly Ran[]> {
  const ran: Ran[] = [];
  for (const line of callsIn(text)) {
    if (line.startsWith('kubeadm')) {
      cluster.addKubeProxy();
      continue;
    }
    const before = cluster.server.requests.length;
    const result = await cluster.run(line);
    ran.push(result);
    made++;
    if (NEEDS_A_SHELL.test(line)) {
      const asked = cluster.server.requests.slice(before).map(({ path }) => path);
      t.ok(
        asked.some((path) => /\/(exec|attach|portforward)$/.test(path)),
        `${line}: asks for a shell: ${result.stderr}`,
      );
    } else t.equal(result.code, 0, `${line}: ${result.stderr}`);
  }
  t.not(ran.length, 0);
  return ran;
}

t.test('replace kube-proxy, steps 2 to 7', needs, async (t) => {
  const cluster = await openCluster(t);
  const { server } = cluster;
  const proxies = () => ({ ours: server.nodesOf('penstock'), theirs: server.nodesOf('kube-proxy') });
  await follow(t, cluster, sectionOf(page, '2. Ask'));
  const debug = [...server.objects.values()].find(({ metadata }) =>
    metadata.name.startsWith('node-debugger'),
  );
  t.match(debug, {
    spec: { nodeName: 'node1', hostNetwork: true, containers: [{ command: ['penstock', 'doctor'] }] },
  });
  const read = await follow(t, cluster, sectionOf(page, '3. Write'));
  t.same(
    read.map(({ stdout }) => stdout),
    ['kind: KubeProxyConfiguration', 'kind: Config'],
  );
  await follow(t, cluster, sectionOf(page, '4. Put'));
  t.same(proxies(), { ours: [], theirs: NODES });
  const [, pods] = await follow(t, cluster, sectionOf(page, '5. Move'));
  t.match(pods?.stdout, 'penstock-node1');
  t.same(proxies(), { ours: ['node1'], theirs: ['node2', 'worker-3'] });
  await follow(t, cluster, sectionOf(page, '6. Look'));
  const others = sectionOf(page, '7. The other');
  const [batch = '', all = ''] = others.split('Nodes that join later');
  await follow(t, cluster, batch);
  t.same(proxies(), { ours: NODES, theirs: [] });
  await follow(t, cluster, all);
  t.same(proxies(), { ours: NODES, theirs: [] });
  t.notOk(server.objects.has('/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy'));
  await follow(t, cluster, sectionOf(page, 'Configuration that changes'));

  // The way back of all, when kube-proxy's DaemonSet was deleted.
  const [, back = ''] = page.split('All nodes, also after');
  await follow(t, cluster, back.split('## Side by side')[0] ?? '');
  t.same(proxies(), { ours: [], theirs: NODES });
});

t.test('the way back, node by node, the emergency, and all nodes', needs, async (t) => {
  const cluster = await openCluster(t);
  const { server } = cluster;
  for (const title of ['4. Put', '5. Move']) await follow(t, cluster, sectionOf(page, title));
  const way = sectionOf(page, 'The way back');
  const [one = '', rest = ''] = way.split('penstock serves on until');
  const [first = '', ...later] = callsIn(one);
  await follow(t, cluster, `    ${first}`);
  t.same(server.nodesOf('kube-proxy'), NODES, 'kube-proxy starts there too');
  t.same(server.nodesOf('penstock'), ['node1']);
  const said = await follow(t, cluster, later.map((line) => `    ${line}`).join('\n'));
  t.match(said[0]?.stdout, LEFT);
  t.same(server.nodesOf('penstock'), []);

  const [emergency = '', all = ''] = rest.split('All nodes, also after');
  await follow(t, cluster, emergency);
  await follow(t, cluster, `    ${callsIn(sectionOf(page, '5. Move'))[0]}`);
  // kube-proxy's DaemonSet is there, as step 4 left it: nothing has to bring it back.
  await follow(t, cluster, all.split('When something is wrong')[0]?.replace(/.*kubeadm.*/, '') ?? '');
  t.same(server.nodesOf('kube-proxy'), NODES);
  t.same(server.nodesOf('penstock'), []);
});

t.test('side by side', needs, async (t) => {
  const cluster = await openCluster(t);
  await follow(t, cluster, sectionOf(page, 'Side by side'));
  t.same(cluster.server.nodesOf('kube-proxy'), NODES);
  t.match(cluster.server.objects.get('/api/v1/namespaces/default/services/web'), {
    metadata: { labels: { 'service.kubernetes.io/service-proxy-name': 'penstock' } },
  });
  t.equal((await cluster.run('kubectl delete -k deploy/side-by-side')).code, 0);
});

t.test('the other pages, and calls within a line', needs, async (t) => {
  const cluster = await openCluster(t);
  for (const call of ['kubectl apply -k deploy/base']) t.equal((await cluster.run(call)).code, 0);
  const files = { FILE: join(cluster.folder, 'kubeconfig') };
  for (const { path, text, inline } of readDocs()) {
    if (path === 'docs/replace-kube-proxy.md' || path === 'docs/releases.md') continue;
    if (callsIn(text).some((line) => line.startsWith('kubectl'))) await follow(t, cluster, text);
    for (const line of inline.filter(
      (each) => /^(kubectl|helm) [^…]*$/.test(each) && !/^kubectl penstock$/.test(each),
    )) {
      if (NEEDS_A_SHELL.test(line) || /^kubectl (port-forward|kustomize)$/.test(line)) continue;
      const { code, stderr } = await cluster.run(line, files);
      made++;
      t.equal(code, 0, `${path}: ${line}: ${stderr}`);
    }
  }
});

t.test('the chart: as docs/releases.md says', needs, async (t) => {
  const cluster = await openCluster(t);
  const env = { ...process.env, version: '9.9.9', SOURCE_DATE_EPOCH: '1', LC_ALL: 'C' };
  execFileSync(join(ROOT, 'scripts/lib/release/chart-package'), [cluster.folder], { cwd: ROOT, env });
  const chart = join(cluster.folder, 'penstock-chart-9.9.9.tgz');
  const calls = callsIn(readFileSync(fromRoot('docs/releases.md'), 'utf8'));
  t.equal(calls.length, 1);
  for (const line of calls) {
    const { code, stderr } = await cluster.run(line, { 'penstock-chart-VERSION.tgz': chart });
    t.equal(code, 0, stderr);
    made++;
  }
  t.same(cluster.server.nodesOf('penstock'), NODES);
  for (const command of ['lint --strict --quiet', 'template penstock']) {
    const { code, stderr } = await cluster.run(
      `helm ${command} ${chart} --set apiServer=https://192.0.2.1:6443`,
    );
    t.equal(code, 0, stderr);
  }
});

t.test('none is left out', needs, async (t) => {
  t.ok(made >= 40, `${made} calls`);
});
