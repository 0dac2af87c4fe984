/** BIRD and FRR as routers on a LAN, started by hand in a namespace of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, plain } from '../iptables.js';
import { LanHost } from './lan.js';

export const HAS_BIRD = existsSync('/usr/sbin/bird');
export const HAS_FRR = existsSync('/usr/lib/frr/bgpd');

export interface RouterOptions {
  /** AS of the router, and of the agent at `agent`. */
  readonly asn: number;
  readonly agentAsn: number;
  readonly agent: string;
  readonly agentV6?: string;
  readonly password?: string;
  readonly ttlSecurity?: boolean;
  readonly bfd?: boolean;
  readonly hold?: number;
}

export interface Router {
  readonly host: LanHost;
  start(): Promise<void>;
  /** Routes that it has of the agent. */
  routes(): { readonly v4: number; readonly v6: number };
  /** As its command line prints it. */
  ask(question: string): string;
  signal(signal: NodeJS.Signals): void;
  close(): void;
}

abstract class Daemons {
  readonly host: LanHost;
  protected readonly folder: string;
  protected readonly processes: ChildProcess[] = [];

  constructor(name: string, last: number) {
    this.host = new LanHost(name, last);
    this.folder = mkdtempSync(join(tmpdir(), `${name}-`));
    chmodSync(this.folder, 0o755);
  }

  protected run(...command: readonly string[]): void {
    const started = spawn(...plain('nsenter', '-t', String(this.host.pid), '-n', ...command), {
      stdio: process.env.ROUTER_LOG ? 'inherit' : 'ignore',
    });
    this.processes.push(started);
  }

  signal(signal: NodeJS.Signals): void {
    for (const each of this.processes) each.kill(signal);
  }

  close(): void {
    this.signal('SIGCONT');
    this.signal('SIGKILL');
    this.processes.length = 0;
    this.host.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  protected try(command: string): string {
    try {
      return this.host.run(command);
    } catch {
      return '';
    }
  }
}

export class Bird extends Daemons implements Router {
  readonly #options: RouterOptions;

  constructor(name: string, last: number, options: RouterOptions) {
    super(name, last);
    this.#options = options;
  }

  async start(): Promise<void> {
    const { asn, agentAsn, agent, password, ttlSecurity, bfd, hold = 90 } = this.#options;
    const file = join(this.folder, 'bird.conf');
    const channel = 'import all; export none;';
    writeFileSync(
      file,
      `router id 192.0.2.200;
protocol device {}
${bfd ? 'protocol bfd { interface "eth0" { min rx interval 300 ms; min tx interval 300 ms; multiplier 3; }; }' : ''}
protocol bgp agent {
  local as ${asn}; neighbor ${agent} as ${agentAsn}; passive yes; hold time ${hold};
  ${password ? `password "${password}";` : ''} ${ttlSecurity ? 'ttl security on;' : ''} ${bfd ? 'bfd on;' : ''}
  graceful restart aware; error wait time 1, 2;
  ipv4 { ${channel} }; ipv6 { ${channel} };
}
`,
    );
    this.run('bird', '-f', '-c', file, '-s', join(this.folder, 'ctl'), '-P', join(this.folder, 'pid'));
    await eventually(() => this.ask('show status').includes('is up'));
  }

  ask(question: string): string {
    return this.try(`birdc -s ${join(this.folder, 'ctl')} "${question}"`);
  }

  routes(): { readonly v4: number; readonly v6: number } {
    const text = this.ask('show route count');
    const count = (table: string) =>
      Number(new RegExp(`^(\\d+) of .* in table ${table}`, 'm').exec(text)?.[1] ?? 0);
    return { v4: count('master4'), v6: count('master6') };
  }
}

export class Frr extends Daemons implements Router {
  readonly #options: RouterOptions;

  constructor(name: string, last: number, options: RouterOptions) {
    super(name, last);
    this.#options = options;
  }

  async start(): Promise<void> {
    const { asn, agentAsn, agent, password, ttlSecurity, bfd } = this.#options;
    const file = join(this.folder, 'bgpd.conf');
    writeFileSync(join(this.folder, 'zebra.conf'), 'hostname router\n');
    writeFileSync(
      file,
      `hostname router
router bgp ${asn}
 bgp router-id 192.0.2.201
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor ${agent} remote-as ${agentAsn}
 neighbor ${agent} passive
 ${password ? `neighbor ${agent} password ${password}` : ''}
 ${ttlSecurity ? `neighbor ${agent} ttl-security hops 1` : ''}
 ${bfd ? `neighbor ${agent} bfd 3 300 300` : ''}
 bgp graceful-restart
 address-family ipv4 unicast
  neighbor ${agent} activate
 exit-address-family
 address-family ipv6 unicast
  neighbor ${agent} activate
 exit-address-family
`,
    );
    const socket = join(this.folder, 'zserv');
    // Its daemons give up root for the user frr.
    this.host.run(`chown -R frr:frr ${this.folder}`);
    const common = ['-z', socket, '--vty_socket', this.folder];
    this.#daemon('zebra', 'zebra.conf', common);
    await eventually(() => existsSync(socket));
    if (bfd) {
      writeFileSync(join(this.folder, 'bfdd.conf'), 'hostname router\n');
      this.#daemon('bfdd', 'bfdd.conf', [...common, '--bfdctl', join(this.folder, 'bfdd.sock')]);
    }
    this.#daemon('bgpd', 'bgpd.conf', common);
    await eventually(() => this.ask('show bgp summary').includes('router identifier'));
  }

  #daemon(name: string, file: string, common: readonly string[]): void {
    this.run(
      `/usr/lib/frr/${name}`,
      '-f',
      join(this.folder, file),
      '-i',
      join(this.folder, `${name}.pid`),
      ...common,
    );
  }

  ask(question: string): string {
    return this.try(`vtysh --vty_socket ${this.folder} -c "${question}"`);
  }

  routes(): { readonly v4: number; readonly v6: number } {
    const count = (family: string) => {
      const text = this.ask(`show bgp ${family} unicast statistics`);
      return Number(/Total Prefixes\s*:\s*(\d+)/.exec(text)?.[1] ?? 0);
    };
    return { v4: count('ipv4'), v6: count('ipv6') };
  }
}
