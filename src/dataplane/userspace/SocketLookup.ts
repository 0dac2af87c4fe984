/**
 * Cluster IPs without NAT: a program in the kernel hands TCP connections for them to the engine's listening sockets as they are,
 * and routes of ours make the ranges of cluster IPs local to this host, so that packets come by. It stands on top of the rules,
 * which go on to decide who is refused; where it cannot be, they redirect as ever.
 */
import { messageOf } from '../../errors.js';
import type { NativeEngine } from '../../kernel/addon/NativeEngine.js';
import type { LocalRanges } from '../../kernel/routes/LocalRanges.js';
import {
  type Cidr,
  cidrContains,
  IP_FAMILIES,
  type IpAddress,
  type IpFamily,
  ipToBytes,
  prefixLength,
} from '../../net/ip.js';
import type { Clock } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';

/** NativeEngine.setUntranslatedRanges() takes no more. */
const MOST_RANGES = 64;
const RANGE_BYTES = 17;
/** ::ffff:0:0/96 */
const IPV4_PREFIX = 96;
const NONE: readonly Cidr[] = [];
/** From one look at the connections of a route that is not counted on any more to the next. Each looks at all of them. */
const LOOK_EVERY: Milliseconds = 1000;

/** What must not be in a range: it would no longer be reached. */
export interface Others {
  readonly addresses: readonly IpAddress[];
  readonly pods: Cidr | undefined;
}

export interface LookupHost {
  readonly wanted: boolean;
  readonly engine: Pick<NativeEngine, 'setUntranslatedRanges'>;
  readonly routes: Pick<LocalRanges, 'put' | 'restore' | 'remove' | 'list'>;
  /** Open TCP connections of this host's own addresses in the range. Rejects where the kernel does not tell. */
  readonly connections: (cidr: Cidr) => Promise<number>;
  readonly say: (level: 'info' | 'warn', text: string) => void;
  readonly clock: Clock;
}

interface InForce {
  /** The array that it was made of. */
  readonly wanted: readonly Cidr[];
  readonly ranges: readonly Cidr[];
  readonly source: IpAddress;
}

export class SocketLookup {
  readonly #host: LookupHost;
  readonly #inForce = new Map<IpFamily, InForce>();
  /** Families whose routes may be others than those in force. */
  readonly #unsettled = new Set<IpFamily>(IP_FAMILIES);
  /** Routes that are not counted on any more, and stay as long as connections that came by them do. */
  readonly #surplus = new Set<Cidr>();
  /** The route that is on its way out: it is put back after that only. */
  #removing: Promise<unknown> = Promise.resolve();
  #looksLater = false;
  #cancelLook: () => void = () => {};
  /** What the engine was told. */
  #told: readonly Cidr[] = [];
  #usable: boolean;
  #warned = false;
  #saysLeft = false;

  /** Never throws: says why there is none, if it is wanted. */
  constructor(host: LookupHost) {
    this.#host = host;
    this.#usable = host.wanted;
    if (!host.wanted) return;
    try {
      host.engine.setUntranslatedRanges(encodeRanges([]));
    } catch (error) {
      this.#usable = false;
      host.say(
        'info',
        `cluster IPs are reached by redirection: this kernel gives us no socket lookup (${messageOf(error)})`,
      );
    }
  }

  get isUsable(): boolean {
    return this.#usable;
  }

  /** TCP connections to cluster IPs in these ranges come without NAT; the same array until they are others. */
  ranges(family: IpFamily): readonly Cidr[] {
    return this.#inForce.get(family)?.ranges ?? NONE;
  }

  /**
   * Makes packets to these ranges come, before rules count on it. Never rejects: without it there are no ranges, and the next call
   * tries again. `source`: what connections of the node itself bear.
   */
  async prepare(family: IpFamily, wanted: readonly Cidr[], source: IpAddress, others: Others): Promise<void> {
    if (!this.#usable) return;
    const before = this.#inForce.get(family);
    if (before?.wanted === wanted && before.source === source) return;
    this.#unsettled.add(family);
    const ranges = wanted.filter((cidr) => isAlone(cidr, others)).slice(0, MOST_RANGES / 2);
    const kept = before?.ranges.join() === ranges.join() ? before.ranges : ranges;
    try {
      this.#tell(ranges);
      for (const cidr of ranges) {
        this.#surplus.delete(cidr);
        await this.#removing;
        await this.#host.routes.put({ cidr, source });
      }
      this.#inForce.set(family, { wanted, ranges: kept, source });
      // The engine may have been told meanwhile that one of them is removed.
      if (ranges.some((cidr) => !this.#told.includes(cidr))) this.#tell([...ranges, ...this.#told]);
    } catch (error) {
      this.#inForce.delete(family);
      if (!this.#warned)
        this.#host.say('warn', `${family} cluster IPs are reached by redirection: ${messageOf(error)}`);
      this.#warned = true;
    }
  }

  /**
   * Takes away what is no longer counted on, once the rules do not, and not before the last connection that came by it has ended: its
   * packets would leave the host, and one that is about to stand would end with "no route to host". Rejects with NetlinkError.
   */
  async settle(): Promise<void> {
    for (const family of [...this.#unsettled]) {
      for (const cidr of await this.#host.routes.list(family))
        if (!this.ranges(family).includes(cidr)) this.#surplus.add(cidr);
      this.#unsettled.delete(family);
    }
    if (this.#told.length > 0) this.#tell(NONE);
    if (!this.#looksLater) this.#lookLater();
  }

  /** Routes stay as they are. */
  close(): void {
    this.#surplus.clear();
    this.#cancelLook();
  }

  #lookLater(): void {
    this.#looksLater = this.#surplus.size > 0;
    if (!this.#looksLater) return;
    this.#cancelLook = this.#host.clock.after(LOOK_EVERY, () => {
      void this.#removeUnused().then(() => this.#lookLater());
    });
  }

  /** Never rejects. */
  async #removeUnused(): Promise<void> {
    const { routes, connections, say } = this.#host;
    for (const cidr of [...this.#surplus]) {
      try {
        // Where the kernel does not tell, those that were about to stand do by now.
        const open = await connections(cidr).catch(() => 0);
        // It may be wanted again.
        if (open > 0 || !this.#surplus.has(cidr)) continue;
        const removed = routes.remove(cidr);
        this.#removing = removed.catch(() => {});
        await removed;
        this.#surplus.delete(cidr);
        if (this.#told.length > 0) this.#tell(NONE);
      } catch (error) {
        if (!this.#saysLeft) say('warn', `the local route of ${cidr} is left: ${messageOf(error)}`);
        this.#saysLeft = true;
      }
    }
  }

  /** Puts back routes that are gone. Undefined, or what was wrong or still is; never rejects. */
  async verify(): Promise<string | undefined> {
    for (const { ranges, source } of [...this.#inForce.values()]) {
      for (const cidr of ranges) {
        try {
          if (await this.#host.routes.restore({ cidr, source })) return `the local route of ${cidr} was gone`;
        } catch (error) {
          return `the local route of ${cidr} cannot be looked after: ${messageOf(error)}`;
        }
      }
    }
    return undefined;
  }

  /** Those in force, `more`, and those to which packets come still, which a server of the host must not get. */
  #tell(more: readonly Cidr[]): void {
    const still = this.#told.filter((cidr) => this.#surplus.has(cidr));
    const wanted = [...IP_FAMILIES.flatMap((family) => this.ranges(family)), ...more, ...still];
    const all = [...new Set(wanted)].slice(0, MOST_RANGES).sort();
    if (all.join() === this.#told.join()) return;
    this.#host.engine.setUntranslatedRanges(encodeRanges(all));
    this.#told = all;
  }
}

/** Whether a range may be made local. */
function isAlone(cidr: Cidr, { addresses, pods }: Others): boolean {
  const overlaps = (other: Cidr) => cidrContains(cidr, firstOf(other)) || cidrContains(other, firstOf(cidr));
  return !addresses.some((address) => cidrContains(cidr, address)) && (pods === undefined || !overlaps(pods));
}

function firstOf(cidr: Cidr): IpAddress {
  return cidr.slice(0, cidr.indexOf('/')) as IpAddress;
}

/** For NativeEngine.setUntranslatedRanges(). */
export function encodeRanges(ranges: readonly Cidr[]): Uint8Array {
  const encoded = new Uint8Array(ranges.length * RANGE_BYTES);
  for (const [i, cidr] of ranges.entries()) {
    const bytes = ipToBytes(firstOf(cidr));
    const at = i * RANGE_BYTES;
    const isIpv4 = bytes.length === 4;
    encoded[at] = prefixLength(cidr) + (isIpv4 ? IPV4_PREFIX : 0);
    if (isIpv4) encoded.fill(0xff, at + 11, at + 13);
    encoded.set(bytes, at + RANGE_BYTES - bytes.length);
  }
  return encoded;
}
