/** `penstock run` as a process, with an API server. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PENSTOCK } from './AgentProcess.js';
import { plain } from './iptables.js';

export function writeKubeconfig(path: string, server: string): void {
  writeFileSync(
    path,
    `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: '${server}'}}]
users: [{name: u, user: {token: secret}}]
`,
  );
}

export class ClusterAgent {
  output = '';
  readonly #folder = mkdtempSync(join(tmpdir(), 'penstock-cluster-'));
  readonly #child: ChildProcess;

  /** `settings` are further lines of the configuration file. */
  constructor(server: string, settings = '') {
    const kubeconfig = join(this.#folder, 'kubeconfig');
    writeKubeconfig(kubeconfig, server);
    const config = join(this.#folder, 'config.yaml');
    writeFileSync(
      config,
      `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: node1
healthzBindAddress: 127.0.0.1:10256
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
clientConnection: {kubeconfig: '${kubeconfig}'}
${settings}`,
    );
    const child = spawn(...plain(PENSTOCK, 'run', '--config', config), { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        this.output += chunk;
      });
    }
    this.#child = child;
  }

  /** Milliseconds that it took to end after SIGTERM. */
  async end(): Promise<number> {
    const started = performance.now();
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    if (this.#child.exitCode === null && this.#child.kill('SIGTERM')) await ended;
    return performance.now() - started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
