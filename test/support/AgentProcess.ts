/** `penstock run` as a process, in the network namespace of the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, plain } from './iptables.js';

/** PENSTOCK_PROGRAM names another installation: a bundle starts sooner where the processor is emulated. */
export const PENSTOCK =
  process.env.PENSTOCK_PROGRAM ?? fileURLToPath(new URL('../../../bin/penstock', import.meta.url));

/** An agent ends itself long before that (agent/serveNode.ts). */
const END_MS = 120_000;

export class AgentProcess {
  readonly folder = mkdtempSync(join(tmpdir(), 'penstock-test-'));
  readonly #config = join(this.folder, '.config.yaml');
  #child: ChildProcess | undefined;
  output = '';

  /** `settings` are lines of the configuration file. */
  constructor(settings: string) {
    this.configure(settings);
  }

  /** A running agent takes it in. Parameters of connection tracking stay as they are. */
  configure(settings: string): void {
    const quiet = 'conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}\n';
    this.configureWhole(`${quiet}${settings}`);
  }

  /** As configure(), with kube-proxy's defaults for connection tracking. */
  configureWhole(settings: string): void {
    const head =
      'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nhostnameOverride: node1\n';
    writeFileSync(this.#config, `${head}healthzBindAddress: 127.0.0.1:10256\n${settings}`);
  }

  /** Replaces a manifest at once. */
  write(name: string, objects: readonly object[]): void {
    const temporary = join(this.folder, `.${name}`);
    writeFileSync(temporary, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
    renameSync(temporary, join(this.folder, name));
  }

  remove(name: string): void {
    rmSync(join(this.folder, name));
  }

  /** `under`: a command that runs the agent, and what comes before the agent's own words, which are `args`. */
  start(under: readonly string[] = [], args = ['--config', this.#config, '--manifests', this.folder]): void {
    const command = plain(...under, PENSTOCK, 'run', ...args);
    const child = spawn(...command, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        this.output += chunk;
      });
    }
    this.#child = child;
  }

  get configFile(): string {
    return this.#config;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Throws with the agent's words when it does not get ready. */
  async ready(limitMs = 20_000): Promise<true> {
    if (await eventually(async () => (await status('/readyz')) === 200, limitMs)) return true;
    throw new Error(`penstock did not become ready:\n${this.output}`);
  }

  /** Resolves with the exit status, or the signal's name. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | string> {
    const ended = this.ended();
    this.#child?.kill(signal);
    return ended;
  }

  /** As end(), for one that ends by itself. Rejects with how it stands when it does not: it is killed then. */
  async ended(): Promise<number | string> {
    const child = this.#child;
    if (!child) return -1;
    return (
      child.exitCode ??
      child.signalCode ??
      new Promise((resolve, reject) => {
        const late = setTimeout(() => {
          const state = `${exited(child)}\n${describeProcess(child.pid)}`;
          child.kill('SIGKILL');
          reject(new Error(`penstock did not end in ${END_MS / 1000} s: ${state}\n${this.output}`));
        }, END_MS);
        child.once('close', (code, name) => {
          clearTimeout(late);
          resolve(code ?? name ?? -1);
        });
      })
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** HTTP status of the health server, or another; 0 when it does not answer. */
export function status(path: string, port = 10256, host = '127.0.0.1'): Promise<number> {
  return new Promise((resolve) => {
    const request = get({ host, port, path, timeout: 1000, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).on('error', () => resolve(0));
    request.on('timeout', () => request.destroy());
  });
}

/** Whether it has ended, while somebody else has its output open. */
function exited({ exitCode, signalCode }: ChildProcess): string {
  return exitCode === null && signalCode === null ? 'it runs' : 'it has ended, but its output is open';
}

/** Each thread with what it waits for, and each program that it started. */
function describeProcess(pid: number | undefined): string {
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8').trim();
    } catch {
      return '';
    }
  };
  const tasks = read(`/proc/${pid}/status`) === '' ? [] : readdirSync(`/proc/${pid}/task`);
  const programs = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(
      (name) =>
        `${name}: ${read(`/proc/${name}/cmdline`).replaceAll('\0', ' ')}: ${read(`/proc/${name}/wchan`)}`,
    );
  return [
    ...tasks.map((task) => {
      const of = (name: string) => read(`/proc/${pid}/task/${task}/${name}`);
      return `thread ${task} ${of('comm')}: ${/State:.*/.exec(of('status'))?.[0]}, in ${of('wchan')}, ${of('syscall')}`;
    }),
    ...programs,
  ].join('\n');
}
