/** Another network namespace beside the test's own: a pod, or a host outside, on a link of its own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { plain, shell } from './iptables.js';

export interface SideOptions {
  /** Name of the link's end in the test's namespace, or of the bridge when there is one. */
  readonly link: string;
  readonly bridged?: boolean;
  /** Address of the namespace, and of this end; both in a /24. */
  readonly address: string;
  readonly gateway: string;
}

/** Answers each connection on port 8080 with the address that it came from. */
const SERVER = "require('net').createServer((s) => s.end(s.remoteAddress)).listen(8080, '0.0.0.0')";

export class SideNamespace {
  readonly #process: ChildProcess;

  constructor({ link, bridged = false, address, gateway }: SideOptions) {
    this.#process = spawn(...plain('unshare', '--net', process.execPath, '-e', SERVER), { stdio: 'ignore' });
    const inside = `nsenter -t ${this.#process.pid} -n`;
    // The namespace is there when it is another one than ours.
    shell(
      `until [ "$(readlink /proc/${this.#process.pid}/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done`,
    );
    const end = bridged ? `${link}-pod` : link;
    shell(`ip link add ${end} type veth peer name eth0 netns ${this.#process.pid}; ip link set ${end} up`);
    if (bridged)
      shell(`ip link add ${link} type bridge; ip link set ${end} master ${link}; ip link set ${link} up`);
    shell(`ip addr add ${gateway}/24 dev ${link}`);
    shell(`${inside} ip addr add ${address}/24 dev eth0; ${inside} ip link set eth0 up`);
    shell(`${inside} ip link set lo up; ${inside} ip route add default via ${gateway}`);
  }

  /** What an address answers to a connection from here; '' when it does not. */
  ask(host: string, port = 80): Promise<string> {
    const script = `exec 3<>/dev/tcp/${host}/${port}; cat <&3`;
    const command = plain(
      'nsenter',
      '-t',
      String(this.#process.pid),
      '-n',
      'timeout',
      '15',
      'bash',
      '-c',
      script,
    );
    return new Promise((resolve) => execFile(...command, (_, stdout) => resolve(stdout.trim())));
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Runs a command there. */
  run(command: string): void {
    shell(`nsenter -t ${this.#process.pid} -n ${command}`);
  }

  close(): void {
    this.#process.kill('SIGKILL');
  }
}
