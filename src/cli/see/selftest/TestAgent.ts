/** `penstock run` of the selftest's node, as an administrator handles it: start, end, change of mode. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PenstockError } from '../../../errors.js';
import type { Mode } from '../../../explain/World.js';
import { AgentClient } from '../AgentClient.js';
import { selftestObjects } from './objects.js';
import { ownCommand } from './Peer.js';

const READY_MS = 180_000;
const LOOK_EVERY_MS = 50;
/** Characters of the log that are kept for a failure to show. */
const KEPT = 20_000;

export class TestAgent {
  readonly #folder: string;
  #mode: Mode;
  #child: ChildProcess | undefined;
  log = '';

  /** `folder` is private to these namespaces. */
  constructor(mode: Mode, folder: string) {
    this.#folder = folder;
    this.#mode = mode;
    mkdirSync(join(folder, 'manifests'), { recursive: true });
    const list = { apiVersion: 'v1', kind: 'List', items: selftestObjects() };
    writeFileSync(join(folder, 'manifests/objects.json'), JSON.stringify(list));
    this.#configure();
  }

  get mode(): Mode {
    return this.#mode;
  }

  #configure(): void {
    const path = join(this.#folder, 'config.yaml');
    writeFileSync(`${path}.new`, configuration(this.#mode));
    renameSync(`${path}.new`, path);
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const config = join(this.#folder, 'config.yaml');
    const words = ['run', '--config', config, '--manifests', join(this.#folder, 'manifests')];
    const [program, all] = ownCommand(...words);
    const child = spawn(program, all, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        this.log = `${this.log}${chunk}`.slice(-KEPT);
      });
    this.#child = child;
    await this.#serves((pid) => pid === child.pid);
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill(signal);
    await ended;
  }

  /** A new one begins while the old one is there: in mode userspace it takes over, else the old one is told to end. */
  async upgrade(): Promise<void> {
    const before = this.#child;
    const ended = new Promise((resolve) => before?.once('close', resolve));
    const started = this.start();
    if (this.#mode !== 'userspace') before?.kill('SIGTERM');
    await started;
    before?.kill('SIGTERM');
    await ended;
  }

  /** As an administrator does it: in the file, while it runs. */
  async change(mode: Mode): Promise<void> {
    this.#mode = mode;
    this.#configure();
    await this.#serves(() => true);
  }

  async client(): Promise<AgentClient> {
    const client = await AgentClient.find();
    if (client) return client;
    throw this.#failed('the agent does not answer');
  }

  async #serves(isIt: (pid: number) => boolean): Promise<void> {
    const deadline = performance.now() + READY_MS;
    for (;;) {
      const status = (await AgentClient.find())?.status;
      if (status?.ready && status.mode === this.#mode && isIt(status.pid)) return;
      if (this.#child?.exitCode != null) throw this.#failed('the agent ended');
      if (performance.now() > deadline) throw this.#failed('the agent does not get ready');
      await sleep(LOOK_EVERY_MS);
    }
  }

  #failed(what: string): PenstockError {
    const last = this.log.trimEnd().split('\n').slice(-5).join('\n');
    return new PenstockError('PENSTOCK_CANNOT_TEST', `mode ${this.#mode}: ${what}; it said:\n${last}`, {
      remedy: 'penstock doctor says what this kernel can.',
    });
  }
}

function configuration(mode: Mode): string {
  return `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ${mode}
hostnameOverride: node1
clusterCIDR: 10.244.0.0/16,fd00:244::/32
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
penstock: {takeover: true, shutdownTimeout: 2s}
`;
}
