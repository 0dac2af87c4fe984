/**
 * Where the kernel has the addresses of Services itself, on kube-ipvs0, it answers ARP for them on every interface, of every node: the
 * node that announces an address would not be the only one. So on LANs it is told to answer for the addresses of the interface alone,
 * which is what strictARP does for all interfaces. IPv6 needs nothing: its neighbour discovery knows the interface's addresses alone.
 * Source: arp_ignore, arp_announce in the kernel's ip-sysctl.rst.
 */
import type { Logger } from 'pino';
import { messageOf } from '../../errors.js';
import type { Sysctls } from '../../kernel/sysctl/Sysctls.js';

/** What the kernel takes is the greater one of the interface's and that of `all`; 3 answers for addresses of other interfaces. */
const WANTED = [
  { name: 'arp_ignore', value: 1, good: [1, 2, 8] },
  { name: 'arp_announce', value: 2, good: [2] },
] as const;

export class QuietKernel {
  readonly #sysctls: Pick<Sysctls, 'read' | 'ensure'>;
  readonly #log: Pick<Logger, 'info' | 'warn'>;
  readonly #said = new Set<string>();

  constructor(sysctls: Pick<Sysctls, 'read' | 'ensure'>, log: Pick<Logger, 'info' | 'warn'>) {
    this.#sysctls = sysctls;
    this.#log = log;
  }

  /**
   * `devices`: interfaces on which some node announces addresses that this kernel has itself. Writes what differs, each time: others
   * set these parameters too (sysctl --system, a network manager), and an interface may be made anew.
   */
  keep(devices: readonly string[]): void {
    for (const device of devices) for (const wanted of WANTED) this.#set(device, wanted);
  }

  #set(device: string, { name, value, good }: (typeof WANTED)[number]): void {
    const of = (where: string) => Number(this.#sysctls.read(`net/ipv4/conf/${where}/${name}`) ?? 0);
    const now = Math.max(of('all'), of(device));
    if ((good as readonly number[]).includes(now)) return;
    const words = `net.ipv4.conf.${device}.${name}`;
    const why =
      'this kernel would answer ARP for addresses that another node announces, as kube-ipvs0 has them';
    if (now > value) {
      const line = `${words} is ${now}: ${why} → Set it, and that of "all", to ${value}.`;
      this.#once(() => this.#log.warn(line), line);
      return;
    }
    try {
      this.#sysctls.ensure(`net/ipv4/conf/${device}/${name}`, `${value}`);
      this.#log.info(`set ${words} to ${value}: otherwise ${why}`);
    } catch (error) {
      const line = `${words} stays ${now}, so ${why}: ${messageOf(error)}`;
      this.#once(() => this.#log.warn({ err: error }, line), line);
    }
  }

  #once(say: () => void, line: string): void {
    if (this.#said.has(line)) return;
    this.#said.add(line);
    say();
  }
}
