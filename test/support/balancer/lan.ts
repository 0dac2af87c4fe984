/** A bridge in the test's network namespace as a LAN, and nodes on it, each in a namespace of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually, plain, shell } from '../iptables.js';
import type { NodeCommand } from './layer2Node.js';

const PROGRAM = fileURLToPath(new URL('./layer2Node.js', import.meta.url));

/** The test's own namespace is on the LAN as 192.0.2.254 and 2001:db8::fe. */
export function makeLan(): void {
  shell('ip link set lo up; ip link add lan type bridge; ip link set lan up');
  shell('ip addr add 192.0.2.254/24 dev lan; ip addr add 2001:db8::fe/64 dev lan nodad');
}

export interface LanEvent {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly event: string;
  readonly address?: string;
  readonly announces?: boolean;
  readonly [other: string]: unknown;
}

/** A process in a new network namespace, which lasts as long as the process. */
export function holdNamespace(): ChildProcess {
  const holder = spawn(...plain('unshare', '--net', 'sleep', '1000'), { stdio: 'ignore' });
  const own = '"$(readlink /proc/self/ns/net)"';
  shell(`until [ "$(readlink /proc/${holder.pid}/ns/net)" != ${own} ]; do sleep 0.02; done`);
  return holder;
}

/** A namespace on the LAN: `<name>` is the bridge's port, `eth0` the other end. */
export class LanHost {
  readonly name: string;
  readonly mac: string;
  readonly pid: number;
  readonly #holder: ChildProcess;

  constructor(name: string, last: number) {
    this.name = name;
    this.#holder = holdNamespace();
    this.pid = this.#holder.pid as number;
    this.mac = `02:00:00:00:00:${last.toString(16).padStart(2, '0')}`;
    shell(
      `ip link add ${name} type veth peer name eth0 address ${this.mac} netns ${this.pid}; ip link set ${name} master lan up`,
    );
    this.run(`ip link set lo up; ip link set eth0 up; ip addr add 192.0.2.${last}/24 dev eth0`);
    this.run(`ip addr add 2001:db8::${last.toString(16)}/64 dev eth0 nodad`);
  }

  run(command: string): string {
    return shell(`nsenter -t ${this.pid} -n sh -ec '${command}'`);
  }

  /** The kernel takes its time to end a namespace, and the next one may want the name of the link at once. */
  close(): void {
    this.#holder.kill('SIGKILL');
    shell(`ip link del ${this.name} 2>/dev/null || true`);
  }
}

/** A node with the program of layer2Node. */
export class LanNode extends LanHost {
  readonly address: string;
  readonly events: LanEvent[] = [];
  #process: ChildProcess | undefined;

  constructor(name: string, last: number) {
    super(name, last);
    this.address = `192.0.2.${last}`;
  }

  async start(): Promise<void> {
    this.events.length = 0;
    const index = JSON.parse(this.run('ip -j link show eth0'))[0].ifindex;
    const [program, args] = plain(
      'nsenter',
      '-t',
      String(this.pid),
      '-n',
      process.execPath,
      PROGRAM,
      this.name,
      String(index),
    );
    const started = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process = started;
    createInterface(started.stdout).on('line', (line) => this.events.push(JSON.parse(line)));
    await eventually(() => this.events.length > 0);
  }

  tell(command: NodeCommand): void {
    this.#process?.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** The node's program, not its namespace. nsenter has become it. */
  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** Addresses that it announces now. */
  announced(): ReadonlySet<string> {
    const set = new Set<string>();
    for (const { event, address = '', announces } of this.events) {
      if (event !== 'announcing') continue;
      if (announces) set.add(address);
      else set.delete(address);
    }
    return set;
  }

  async status(): Promise<LanEvent> {
    const before = this.events.filter(({ event }) => event === 'status').length;
    this.tell({ status: true });
    await eventually(() => this.events.filter(({ event }) => event === 'status').length > before);
    return this.events.filter(({ event }) => event === 'status').at(-1) as LanEvent;
  }

  override close(): void {
    this.#process?.kill('SIGKILL');
    super.close();
  }
}

/** Hardware address that the test's namespace gets when it asks for the address anew; '' for none. */
export function askFor(address: string): string {
  shell(`ip neigh flush to ${address} dev lan 2>/dev/null || true`);
  const send =
    "const s=require('dgram').createSocket(process.argv[1].includes(':')?'udp6':'udp4');s.send('x',9,process.argv[1],()=>s.close())";
  shell(`${process.execPath} -e "${send}" ${address}`);
  for (let i = 0; i < 60; i++) {
    const mac = macOf(address);
    if (mac !== '') return mac;
    shell('sleep 0.02');
  }
  return '';
}

/** What the neighbour table says. */
export function macOf(address: string): string {
  const [entry] = JSON.parse(shell(`ip -j neigh show to ${address} dev lan`) || '[]');
  return entry?.lladdr ?? '';
}
