/** kubectl penstock: finds the pod of a node and calls penstock there; with a recorder in the place of kubectl, and with the real one. */
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { fromRoot } from '../../support/fromRoot.js';

const PLUGIN = fileURLToPath(fromRoot('deploy/kubectl-penstock'));
const folder = mkdtempSync(join(tmpdir(), 'kubectl-penstock-'));
t.teardown(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function plugin(kubectl: string, ...words: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { PATH: process.env.PATH ?? '', HOME: folder, KUBECTL: kubectl };
    execFile(PLUGIN, words, { env }, (error, stdout, stderr) => {
      resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

/** Says which pods there are, and otherwise what it was called with; exec ends with status 1, as a command that found a problem. */
function recorder(pods: string): string {
  const path = join(folder, `kubectl-${pods.length}`);
  const lines = [
    '#!/bin/sh',
    `case " $* " in *" get pods "*) printf '${pods}' ;;`,
    '*) printf \'%s|\' "$@"; exit 1 ;; esac',
  ];
  writeFileSync(path, `${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
  return path;
}

t.test('calls penstock in the pod of the node, word by word, and ends as it does', async (t) => {
  const kubectl = recorder('worker-2 penstock-b\\nworker-1 penstock-a\\n');
  const first = await plugin(kubectl, 'explain', 'shop/web-1', 'a b:http; true', '-o', 'json');
  t.equal(
    first.stdout,
    '-n|kube-system|exec|penstock-a|--|penstock|explain|shop/web-1|a b:http; true|-o|json|',
  );
  t.equal(first.status, 1);
  const named = await plugin(kubectl, '--context', 'c 1', '--node', 'worker-2', '-n', 'net', 'status');
  t.equal(named.stdout, '--context=c 1|-n|net|exec|penstock-b|--|penstock|status|');
  t.match(
    (await plugin(kubectl, '--node=worker-2', 'web')).stdout,
    /port-forward\|pod\/penstock-b\|10255:10255/,
  );
  t.equal((await plugin(kubectl, 'nodes')).stdout, 'worker-1 penstock-a\nworker-2 penstock-b\n');
});

t.test('what cannot be: one line and what to do, status 2', async (t) => {
  const kubectl = recorder('worker-1 penstock-a\\n');
  for (const words of [['--node', 'other', 'status'], ['--nod', 'x', 'status'], ['--node'], []]) {
    const { status, stdout, stderr } = await plugin(kubectl, ...words);
    t.equal(status, 2, words.join(' '));
    t.equal(stdout, '');
    t.not(stderr, '');
  }
  t.match(await plugin(recorder(''), 'status'), { status: 2, stderr: /no running pod with app=penstock/ });
  t.match(await plugin(join(folder, 'nothing'), 'status'), { status: 2 });
  t.match(await plugin(kubectl, '--help'), { status: 0, stdout: /kubectl penstock \[flags\] COMMAND/ });
});

const real = spawnSync('kubectl', ['version', '--client']);
const skip = real.status === 0 ? false : 'there is no kubectl';

t.test('with the real kubectl: pods are found by label, exec is asked for', { skip }, async (t) => {
  const asked: string[] = [];
  const pod = {
    metadata: { name: 'penstock-a', namespace: 'kube-system' },
    spec: { nodeName: 'worker-1', containers: [{ name: 'penstock' }] },
  };
  const answers: Readonly<Record<string, object>> = {
    '/api': { kind: 'APIVersions', versions: ['v1'] },
    '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
    '/api/v1': {
      kind: 'APIResourceList',
      groupVersion: 'v1',
      resources: [{ name: 'pods', kind: 'Pod', namespaced: true, verbs: ['get', 'list'] }],
    },
    '/api/v1/namespaces/kube-system/pods': { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: [pod] },
    '/api/v1/namespaces/kube-system/pods/penstock-a': { kind: 'Pod', apiVersion: 'v1', ...pod },
  };
  const server = createServer(({ url = '', method }, response) => {
    asked.push(`${method} ${decodeURIComponent(url)}`);
    const answer = answers[url.split('?')[0] ?? ''];
    response.writeHead(answer ? 200 : 403, { 'content-type': 'application/json' });
    const refused = {
      kind: 'Status',
      apiVersion: 'v1',
      status: 'Failure',
      message: 'no exec here',
      code: 403,
    };
    response.end(JSON.stringify(answer ?? refused));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const config = join(folder, 'kubeconfig');
  writeFileSync(
    config,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'c',
    }),
  );
  const nodes = await plugin('kubectl', '--kubeconfig', config, 'nodes');
  t.equal(nodes.stdout, 'worker-1 penstock-a\n', nodes.stderr);
  t.ok(asked.some((line) => line.includes('labelSelector=app=penstock')));
  const status = await plugin(
    'kubectl',
    '--kubeconfig',
    config,
    '--node',
    'worker-1',
    'status',
    '-o',
    'json',
  );
  t.not(status.status, 0);
  t.ok(
    asked.some((line) =>
      /penstock-a\/exec\?command=penstock&command=status&command=-o&command=json/.test(line),
    ),
    asked.join('\n'),
  );
});

t.test('the manifest for krew is that of this plugin', async (t) => {
  const manifest = parse(readFileSync(fromRoot('deploy/krew.yaml'), 'utf8')) as {
    spec: { version: string; platforms: readonly { bin: string }[] };
  };
  const { version } = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8')) as { version: string };
  t.equal(manifest.spec.version, `v${version}`);
  t.equal(manifest.spec.platforms[0]?.bin, 'kubectl-penstock');
});
