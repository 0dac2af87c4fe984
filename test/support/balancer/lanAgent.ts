/** A node of the LAN with `penstock run`, which announces; and a server on it that says where it is and who asked. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AnnouncerReport } from '../../../src/balancer/announce/report.js';
import { PENSTOCK } from '../AgentProcess.js';
import { eventually, plain } from '../iptables.js';
import { LanHost } from './lan.js';

/** Each line is answered with the name of the node and the address that it came from. */
const SERVER = `
const name = process.argv[1];
require('net').createServer((s) => { s.on('error', () => {}); s.on('data', () => s.write(name + ' ' + s.remoteAddress + '\\n')); }).listen(8080, '::');`;

export interface LanAgentOptions {
  /** Of the manifests, which all nodes share; with `kubeconfig` only of the configuration. */
  readonly folder: string;
  /** An API server instead of manifests; `nodes` are then those that it tells. */
  readonly kubeconfig?: string;
  /** Names of all nodes with their last byte. */
  readonly nodes: readonly (readonly [name: string, last: number])[];
  /** Of the block penstock.loadBalancer. */
  readonly settings?: readonly string[];
  /** Instead of all that announces: further lines of the configuration, and the mode. */
  readonly plain?: { readonly mode: string; readonly lines: readonly string[] };
  /** Of the whole file. */
  readonly more?: readonly string[];
}

export class LanAgent extends LanHost {
  readonly address: string;
  /** Of the next start. */
  mode = 'nftables';
  readonly #options: LanAgentOptions;
  #agent: ChildProcess | undefined;
  #server: ChildProcess | undefined;
  output = '';

  constructor(name: string, last: number, options: LanAgentOptions) {
    super(name, last);
    this.address = `192.0.2.${last}`;
    this.#options = options;
    this.run('sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0');
  }

  serve(): void {
    const [program, args] = this.#inside(process.execPath, '-e', SERVER, this.name);
    this.#server = spawn(program, args, { stdio: 'ignore' });
  }

  start(): void {
    const { folder, kubeconfig, nodes, settings = [], more = [], plain: instead } = this.#options;
    const config = join(folder, `.${this.name}.yaml`);
    writeFileSync(
      config,
      [
        'apiVersion: kubeproxy.config.k8s.io/v1alpha1',
        'kind: KubeProxyConfiguration',
        `hostnameOverride: ${this.name}`,
        `mode: ${instead?.mode ?? this.mode}`,
        ...more,
        'conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}',
        ...(kubeconfig === undefined ? [] : [`clientConnection: {kubeconfig: ${kubeconfig}}`]),
        'penstock:',
        ...(kubeconfig === undefined ? [`  manifests: ${folder}`] : []),
        ...(instead?.lines ?? [
          '  loadBalancer:',
          '    announce: true',
          ...(nodes.length === 0 ? [] : ['    nodes:']),
          ...nodes.map(
            ([name, last]) =>
              `    - {name: ${name}, addresses: [192.0.2.${last}, "2001:db8::${last.toString(16)}"]}`,
          ),
          ...settings.map((line) => `    ${line}`),
        ]),
      ].join('\n'),
    );
    const [program, args] = this.#inside(PENSTOCK, 'run', '--config', config);
    const started = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [started.stdout, started.stderr])
      stream.on('data', (chunk) => {
        this.output += chunk;
      });
    started.once('exit', (code, signal) => {
      this.output += `ended with ${code ?? signal}\n`;
    });
    this.#agent = started;
  }

  /** `penstock WORDS` on this node: its output. Throws when it fails with another status than 0 or 1. */
  penstock(...words: readonly string[]): string {
    return this.run(`${PENSTOCK} ${words.join(' ')} 2>&1 || [ $? = 1 ]`);
  }

  report(): AnnouncerReport {
    return JSON.parse(this.penstock('lb', 'owners', '-o', 'json')) as AnnouncerReport;
  }

  /** Throws with the agent's words when it does not come to that. */
  async until(what: string, check: (report: AnnouncerReport) => boolean, limitMs = 30_000): Promise<void> {
    const seen = await eventually(() => {
      try {
        return check(this.report());
      } catch {
        return false;
      }
    }, limitMs);
    if (!seen) throw new Error(`${this.name}: never came to ${what}:\n${this.output}`);
  }

  /** Resolves when the agent has ended. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const agent = this.#agent;
    if (agent === undefined || agent.exitCode !== null || agent.signalCode !== null) return;
    const ended = new Promise((resolve) => agent.once('exit', resolve));
    agent.kill(signal);
    await ended;
  }

  override close(): void {
    this.#agent?.kill('SIGKILL');
    this.#server?.kill('SIGKILL');
    super.close();
  }

  #inside(...command: readonly string[]): [program: string, args: string[]] {
    return plain('nsenter', '-t', String(this.pid), '-n', ...command);
  }
}
