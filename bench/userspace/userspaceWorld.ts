/**
 * One proxy with a client and endpoints of its own, in one network namespace or in three that are joined by veth.
 * Worlds stand side by side and are measured in turn.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { killWithChildren, type Usage, usageOf } from '../parts/processUsage.js';
import {
  type Contender,
  ENDPOINTS,
  type ProxySettings,
  prepare,
  REDIRECTED,
  TCP,
  UDP,
  VIP,
  VIP_RANGE,
} from './userspaceProxies.js';

export interface WorldSettings extends ProxySettings {
  readonly topology: 'one' | 'three';
  /** On: every node has connection tracking, as nodes of Kubernetes do. Off: only where the proxy brings it. */
  readonly conntrack: 'on' | 'off';
  readonly cores: Cores;
  readonly descriptors: number;
  readonly backendThreads: number;
}

/** Who may use which cores, as taskset has them; undefined: all. */
export interface Cores {
  readonly client?: string | undefined;
  readonly proxy?: string | undefined;
  readonly backend?: string | undefined;
}

/** A machine without KVM is slow. */
const READY_WITHIN_MS = 180_000;
const CLIENT_RANGE = '10.201.0';

const sh = (script: string) => execFileSync('sh', ['-ec', script], { stdio: ['ignore', 'pipe', 'inherit'] });

export class World {
  readonly proxy: Contender;
  /** Where the client sends: the endpoints themselves, or the cluster IP. */
  readonly tcp: string;
  readonly udp: string;
  readonly counter: string;
  readonly #client: string;
  readonly #node: string;
  readonly #pods: string;
  readonly #settings: WorldSettings;
  readonly #children: ChildProcess[] = [];
  #proxyProcess: ChildProcess | undefined;

  constructor(proxy: Contender, folder: string, settings: WorldSettings) {
    const targets = (service: number, endpoint: number) =>
      proxy === 'direct' ? ENDPOINTS.map((ip) => `${ip}:${endpoint}`).join(',') : `${VIP}:${service}`;
    const name = `pbu${process.pid}-${proxy}`;
    this.proxy = proxy;
    this.tcp = targets(TCP.service, TCP.endpoint);
    this.udp = targets(UDP.service, UDP.endpoint);
    this.counter = join(folder, `${proxy}-datagrams`);
    this.#settings = settings;
    this.#node = name;
    this.#client = settings.topology === 'one' ? name : `${name}-client`;
    this.#pods = settings.topology === 'one' ? name : `${name}-pods`;
  }

  /** `tools` holds the compiled programs, `folder` takes configuration. */
  async build(tools: string, folder: string): Promise<void> {
    for (const namespace of this.#namespaces) {
      sh(`ip netns add ${namespace}; ip -n ${namespace} link set lo up
          ip netns exec ${namespace} sysctl -qw net.ipv4.ip_local_port_range='10240 65000' net.ipv4.tcp_tw_reuse=1`);
    }
    sh(this.#settings.topology === 'one' ? this.#oneNamespace() : this.#threeNamespaces());
    if (this.proxy === 'haproxy' && this.#settings.haproxy === 'redirected') this.#redirect();
    else if (this.proxy === 'haproxy' || this.proxy === 'nginx' || this.proxy === 'floor')
      sh(`ip -n ${this.#node} addr add ${VIP}/32 dev lo`);
    if (this.proxy !== 'penstock' && this.#settings.conntrack === 'on') this.#track();

    const at = (port: number) => ENDPOINTS.map((ip) => `${ip}:${port}`).join(',');
    const { cores } = this.#settings;
    const backend = this.#spawn(this.#pods, cores.backend, [
      join(tools, 'userspaceBackend'),
      `tcp=${at(TCP.endpoint)}`,
      `udp=${at(UDP.endpoint)}`,
      `threads=${this.#settings.backendThreads}`,
      `counter=${this.counter}`,
    ]);
    await firstOutput(backend, 'the backend');

    const command = prepare(this.proxy, folder, this.#settings);
    if (command.length > 0) this.#proxyProcess = this.#spawn(this.#node, cores.proxy, command);
    await this.#ready(tools);
  }

  /** Runs a program on the client's side; what it prints. */
  run(command: readonly string[], limitMs: number): string {
    const pinned = onCores(this.#settings.cores.client, command);
    return execFileSync('ip', ['netns', 'exec', this.#client, ...pinned], {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: limitMs,
      killSignal: 'SIGKILL',
    }).toString();
  }

  /** Starts a program on the client's side; it is there when it has printed something. */
  async hold(command: readonly string[]): Promise<{ output: string; end: () => void }> {
    const child = this.#spawn(this.#client, this.#settings.cores.client, command);
    return { output: await firstOutput(child, command[0] ?? ''), end: () => child.kill('SIGKILL') };
  }

  /** Of the proxy alone. */
  usage(): Usage {
    const none = { userMicroseconds: 0, systemMicroseconds: 0, residentBytes: 0 };
    return this.#proxyProcess?.pid === undefined ? none : usageOf(this.#proxyProcess.pid);
  }

  /** Microseconds of processor time of all that runs here but the client. */
  totalMicroseconds(): number {
    const used = this.#children.map(({ pid }) => (pid === undefined ? undefined : usageOf(pid)));
    return used.reduce((sum, u) => sum + (u?.userMicroseconds ?? 0) + (u?.systemMicroseconds ?? 0), 0);
  }

  end(): void {
    for (const { pid } of this.#children) if (pid !== undefined) killWithChildren(pid);
    for (const namespace of this.#namespaces) sh(`ip netns del ${namespace} 2>/dev/null || true`);
  }

  get #namespaces(): readonly string[] {
    return [...new Set([this.#client, this.#node, this.#pods])];
  }

  /** The cluster IPs lead to a device, as they lead to the default route on a node; local traffic is captured on its way out. */
  #oneNamespace(): string {
    const on = (command: string) => `ip -n ${this.#node} ${command}\n`;
    return [
      on('link add uplink type veth peer name far'),
      on('link set uplink up'),
      on('link set far up'),
      ...[`${CLIENT_RANGE}.1`, ...ENDPOINTS].map((ip) => on(`addr add ${ip}/32 dev uplink`)),
      on(`route add ${VIP_RANGE} dev uplink src ${CLIENT_RANGE}.1`),
    ].join('');
  }

  #threeNamespaces(): string {
    const [c, n, p] = [this.#client, this.#node, this.#pods];
    return `
      ip -n ${c} link add name eth0 type veth peer name client netns ${n}
      ip -n ${p} link add name eth0 type veth peer name pods netns ${n}
      ip -n ${c} addr add ${CLIENT_RANGE}.2/24 dev eth0; ip -n ${c} link set eth0 up
      ip -n ${n} addr add ${CLIENT_RANGE}.1/24 dev client; ip -n ${n} link set client up
      ${ENDPOINTS.map((ip) => `ip -n ${p} addr add ${ip}/24 dev eth0`).join('\n')}
      ip -n ${p} link set eth0 up
      ip -n ${n} addr add 10.200.0.1/24 dev pods; ip -n ${n} link set pods up
      ip -n ${c} route add default via ${CLIENT_RANGE}.1; ip -n ${p} route add default via 10.200.0.1
      ip netns exec ${n} sysctl -qw net.ipv4.ip_forward=1
    `;
  }

  #redirect(): void {
    const { address, port } = REDIRECTED;
    const rules = [
      ['prerouting', 'dstnat'],
      ['output', '-100'],
    ].map(
      ([hook, priority]) =>
        `add chain ip capture ${hook} { type nat hook ${hook} priority ${priority}; }; add rule ip capture ${hook} ip daddr ${VIP} tcp dport ${TCP.service} dnat to ${address}:${port}`,
    );
    sh(`ip netns exec ${this.#node} nft 'add table ip capture; ${rules.join('; ')}'`);
  }

  #track(): void {
    const rules = ['prerouting', 'output'].map(
      (hook) =>
        `add chain ip track ${hook} { type filter hook ${hook} priority 0; }; add rule ip track ${hook} ct state invalid counter`,
    );
    sh(`ip netns exec ${this.#node} nft 'add table ip track; ${rules.join('; ')}'`);
  }

  #spawn(namespace: string, cores: string | undefined, command: readonly string[]): ChildProcess {
    // `exec` at every step: the process that is measured is the one that was started.
    const raised = [
      'sh',
      '-c',
      `ulimit -n ${this.#settings.descriptors}; exec "$@"`,
      'sh',
      ...onCores(cores, command),
    ];
    const child = spawn('ip', ['netns', 'exec', namespace, ...raised], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child.stdout.resume();
    this.#children.push(child);
    return child;
  }

  /** Ready is who says so, where there is a way to say it, and serves. */
  async #ready(tools: string): Promise<void> {
    const asked = ['curl', '-sf', '-m', '1', 'http://127.0.0.1:10256/readyz'];
    const probe = [join(tools, 'userspaceLoad'), 'connect', `to=${this.tcp}`, 'connections=1', 'ms=20'];
    const until = Date.now() + READY_WITHIN_MS;
    while (Date.now() < until) {
      if (this.#proxyProcess && this.#proxyProcess.exitCode !== null) break;
      await sleep(100);
      try {
        if (this.proxy === 'penstock')
          execFileSync('ip', ['netns', 'exec', this.#node, ...asked], { stdio: 'pipe' });
        const { done, failed } = JSON.parse(this.run(probe, 2000)) as { done: number; failed: number };
        if (done > 0 && failed === 0) return;
      } catch {
        // Not yet.
      }
    }
    throw new Error(
      `${this.proxy} does not serve after ${READY_WITHIN_MS / 1000} s; its own words are above`,
    );
  }
}

function onCores(cores: string | undefined, command: readonly string[]): readonly string[] {
  return cores === undefined ? command : ['taskset', '-c', cores, ...command];
}

async function firstOutput(child: ChildProcess, name: string): Promise<string> {
  const ended = once(child, 'close').then(() => {
    throw new Error(`${name} ended before it was ready`);
  });
  const output = once(child.stdout as NodeJS.ReadableStream, 'data').then(([chunk]) => String(chunk));
  const first = Promise.race([output, ended]);
  ended.catch(() => undefined);
  return first;
}
