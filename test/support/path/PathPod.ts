/** A pod of a node on the LAN: a namespace with one address, which knows nobody but its node. */
import { type ChildProcess, spawn } from 'node:child_process';
import { holdNamespace, type LanHost } from '../balancer/lan.js';
import { plain, shell } from '../iptables.js';

export class PathPod {
  readonly name: string;
  readonly node: LanHost;
  readonly address: string;
  readonly pid: number;
  readonly #holder: ChildProcess;
  readonly #processes = new Set<ChildProcess>();
  /** What its processes said. */
  output = '';

  /** `address`: `10.244.2.10`; its node has 10.244.2.1. */
  constructor(name: string, node: LanHost, address: string) {
    this.name = name;
    this.node = node;
    this.address = address;
    this.#holder = holdNamespace();
    this.pid = this.#holder.pid as number;
    const gateway = address.replace(/\.\d+$/, '.1');
    node.run(
      `ip link add ${name} type veth peer name eth0 netns ${this.pid}; ip link set ${name} up; ip route add ${address}/32 dev ${name}; sysctl -qw net.ipv4.conf.${name}.rp_filter=0`,
    );
    this.run(`ip link set lo up; ip link set eth0 up; ip addr add ${address}/32 dev eth0`);
    this.run(`ip route add ${gateway} dev eth0; ip route add default via ${gateway}`);
  }

  run(command: string): string {
    return shell(`nsenter -t ${this.pid} -n sh -ec '${command}'`);
  }

  start(...command: readonly string[]): ChildProcess {
    const started = spawn(...plain('nsenter', '-t', String(this.pid), '-n', ...command), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [started.stdout, started.stderr])
      stream?.on('data', (chunk) => {
        this.output += chunk;
      });
    this.#processes.add(started);
    started.once('exit', () => this.#processes.delete(started));
    return started;
  }

  /** Resolves when all its processes have ended. */
  async end(signal: NodeJS.Signals): Promise<void> {
    await Promise.all(
      [...this.#processes].map((each) => {
        const ended = new Promise((resolve) => each.once('exit', resolve));
        each.kill(signal);
        return ended;
      }),
    );
  }

  /** SIGTERM: a killed nginx leaves its workers. */
  async close(): Promise<void> {
    await this.end('SIGTERM');
    this.#holder.kill('SIGKILL');
  }
}
