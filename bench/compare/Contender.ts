/** One of the two proxies, as a process in the namespace of the node: started the same way, configured with the same file. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dial, type Target } from '../../src/cli/see/selftest/dial.js';
import { PenstockError } from '../../src/errors.js';
import type { IpFamily } from '../../src/net/ip.js';

export interface ContenderCommand {
  /** `kube-proxy, mode iptables` */
  readonly name: string;
  /** Followed by `--config FILE`. */
  readonly command: readonly [string, ...string[]];
  readonly mode: string;
}

/** Characters of its log that are kept for a failure to show. */
const KEPT = 20_000;
const LOOK_EVERY_MS = 10;
const DIAL_PATIENCE_MS = 300;
const END_MS = 10_000;
/** USER_HZ, which proc(5) counts in. */
const TICKS_PER_SECOND = 100;

export class Contender {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #began = performance.now();
  #log = '';
  #failure: string | undefined;

  /** `folder` is private to these namespaces. `server`: URL of the API server. */
  constructor(
    { name, command: [program, ...words], mode }: ContenderCommand,
    { folder, server, families }: { folder: string; server: string; families: readonly IpFamily[] },
  ) {
    this.#name = name;
    writeFileSync(join(folder, 'kubeconfig.yaml'), kubeconfig(server));
    const config = join(folder, 'config.yaml');
    writeFileSync(config, configuration(mode, join(folder, 'kubeconfig.yaml'), families));
    this.#child = spawn(program, [...words, '--config', config], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.once('error', ({ message }) => {
      this.#failure = message;
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk) => {
        this.#log = `${this.#log}${chunk}`.slice(-KEPT);
      });
  }

  /** Resolves when all of them answer. Answers the milliseconds since the start. Rejects when it ends before, or takes longer. */
  async serves(targets: readonly Target[], patienceMs: number): Promise<number> {
    for (const target of targets)
      await this.#until(patienceMs, () => answerOf(target), `${nameOf(target)} is not served`);
    return performance.now() - this.#began;
  }

  /** Milliseconds until the Service is answered by this endpoint. */
  async answeredBy(target: Target, endpoint: string, patienceMs: number): Promise<number> {
    const began = performance.now();
    const isIt = async () => (await answerOf(target))?.startsWith(`${endpoint} `) === true;
    await this.#until(patienceMs, isIt, `${nameOf(target)} is not led to its new endpoint ${endpoint}`);
    return performance.now() - began;
  }

  async #until(patienceMs: number, done: () => Promise<unknown>, otherwise: string): Promise<void> {
    const deadline = performance.now() + patienceMs;
    while (!(await done())) {
      if (this.#failure !== undefined) throw this.#broken(this.#failure);
      if (this.#child.exitCode !== null) throw this.#broken(`ended with status ${this.#child.exitCode}`);
      if (this.#child.signalCode !== null) throw this.#broken(`was ended by ${this.#child.signalCode}`);
      if (performance.now() > deadline)
        throw this.#broken(`${otherwise} after ${Math.round(patienceMs / 1000)} s`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** Seconds of CPU, its own and of tools that it started; megabytes now and at most. */
  usage(): {
    readonly cpuSelfS: number;
    readonly cpuToolsS: number;
    readonly rssMb: number;
    readonly peakMb: number;
  } {
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    const [user = 0, system = 0, childUser = 0, childSystem = 0] = stat.slice(11, 15).map(Number);
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    const megabytes = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
    return {
      cpuSelfS: (user + system) / TICKS_PER_SECOND,
      cpuToolsS: (childUser + childSystem) / TICKS_PER_SECOND,
      rssMb: megabytes('VmRSS'),
      peakMb: megabytes('VmHWM'),
    };
  }

  async end(): Promise<void> {
    const child = this.#child;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), END_MS);
    await ended;
    clearTimeout(kill);
  }

  #broken(what: string): PenstockError {
    const last = this.#log.trimEnd().split('\n').at(-1) ?? '';
    return new PenstockError(
      'PENSTOCK_CANNOT_TEST',
      `${this.#name}: ${what}${last && `; its last words: ${last}`}`,
    );
  }
}

async function answerOf(target: Target): Promise<string | undefined> {
  const answer = await dial({ target, patience: DIAL_PATIENCE_MS, listen: true });
  return answer.type === 'answered' ? answer.text : undefined;
}

function nameOf({ host, port, protocol }: Target): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}/${protocol}`;
}

export const CLUSTER_CIDRS: Readonly<Record<IpFamily, string>> = {
  IPv4: '10.0.0.0/8',
  IPv6: 'fd00:244::/32',
};

/** JSON, for the API server here speaks no protobuf. */
export function clientConnection(kubeconfigPath: string): string {
  return `clientConnection: {kubeconfig: '${kubeconfigPath}', acceptContentTypes: application/json, contentType: application/json}`;
}

/** What both understand, and nothing else. */
export function configuration(mode: string, kubeconfigPath: string, families: readonly IpFamily[]): string {
  return `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ${mode}
hostnameOverride: node1
clusterCIDR: ${families.map((family) => CLUSTER_CIDRS[family]).join(',')}
detectLocalMode: ClusterCIDR
${clientConnection(kubeconfigPath)}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`;
}

export function kubeconfig(server: string): string {
  return `apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: proxy}}]
clusters: [{name: here, cluster: {server: '${server}'}}]
users: [{name: proxy, user: {token: none}}]
`;
}
