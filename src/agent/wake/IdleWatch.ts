/**
 * Finds Services that may sleep again: those with the annotation idle-after that had no connection for so long, by the kernel's table
 * of connections on this node. A TCP connection counts until both sides have ended it, a UDP flow until the kernel forgets it.
 */

import type { ConntrackEntry } from '../../kernel/conntrack/ConntrackEntry.js';
import { IpProtocol, TcpState } from '../../kernel/conntrack/constants.js';
import { IP_FAMILIES, type IpAddress, type IpFamily } from '../../net/ip.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { IDLE_AFTER, readWake } from '../../routing/waking.js';
import type { Clock } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';

export interface IdleWatchOptions {
  readonly servicePorts: (family: IpFamily) => Iterable<ServicePort>;
  /** Every connection that the kernel knows. Rejects when it does not tell: that look says nothing. */
  readonly eachConnection: (take: (entry: ConntrackEntry) => void) => Promise<void>;
  /**
   * Each look: Services that are awake and had connections since the one before, and how many are open. Undefined: the kernel did not
   * tell. Not called as long as no Service asks for idle-after, and once when the last one has ceased to.
   */
  readonly onLooked?: (connections: ReadonlyMap<string, number> | undefined) => void;
  /** Whether another node has connections to it, by `namespace/name`. Default: nobody knows of others. */
  readonly isActiveElsewhere?: (path: string) => boolean;
  /** It was idle for as long as it says. Told again each time that this time has passed once more. */
  readonly onIdle: (port: ServicePort) => void;
  readonly clock: Clock;
}

interface Watched {
  readonly port: ServicePort;
  readonly idleAfter: Milliseconds;
  /** When it was not idle last, as far as known. */
  lastActive: number;
  /** Connections that had ended at the last look: those that are new among them were something. */
  ended: ReadonlySet<number>;
}

/** What one look saw of a Service. */
interface Seen {
  /** Connections that are open. */
  open: number;
  readonly ended: Set<number>;
}

const SHORTEST_LOOK: Milliseconds = 1000;
const LONGEST_LOOK: Milliseconds = 30_000;
const LOOKS_OF_A_TIME = 4;
const ENDED: readonly (number | undefined)[] = [TcpState.TIME_WAIT, TcpState.CLOSE];

export class IdleWatch {
  readonly #options: IdleWatchOptions;
  /** By `namespace/name`. */
  #watched = new Map<string, Watched>();
  /** Of all Services, also of those that sleep: who wakes is to be watched soon. */
  #shortest: Milliseconds = Number.POSITIVE_INFINITY;
  /** There are Services at all: the objects were read. */
  #hasServices = false;
  /** Some Service asked for it at the last look. */
  #wasAsked = false;
  #cancel: () => void;
  #stopped = false;

  constructor(options: IdleWatchOptions) {
    this.#options = options;
    this.#cancel = options.clock.after(SHORTEST_LOOK, () => void this.#turn());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #turn(): Promise<void> {
    await this.#look().catch(() => {
      if (!this.#stopped) this.#options.onLooked?.(undefined);
    });
    if (this.#stopped) return;
    // An agent that is new looks as soon as it knows anything: others wait for its word.
    const usual = Math.min(LONGEST_LOOK, Math.max(SHORTEST_LOOK, this.#shortest / LOOKS_OF_A_TIME));
    const wait = this.#hasServices ? usual : SHORTEST_LOOK;
    this.#cancel = this.#options.clock.after(wait, () => void this.#turn());
  }

  async #look(): Promise<void> {
    const { onLooked, isActiveElsewhere, eachConnection } = this.#options;
    const places = this.#find();
    // Who is watched by others is heard by them, also when all sleep.
    if (this.#watched.size === 0) {
      const isAsked = Number.isFinite(this.#shortest);
      if (isAsked || this.#wasAsked) onLooked?.(new Map());
      this.#wasAsked = isAsked;
      return;
    }
    this.#wasAsked = true;
    const seen = new Map<string, Seen>();
    await eachConnection(({ original, tcpState, id }) => {
      const { protocol, destination, destinationPort } = original;
      const path =
        places.get(placeOf(protocol, destination, destinationPort)) ??
        places.get(placeOf(protocol, '', destinationPort));
      if (path === undefined) return;
      const of = seen.get(path) ?? { open: 0, ended: new Set() };
      seen.set(path, of);
      if (ENDED.includes(tcpState)) of.ended.add(id);
      else of.open++;
    });
    if (this.#stopped) return;
    const active = new Map<string, number>();
    const idle: ServicePort[] = [];
    for (const [path, watched] of this.#watched) {
      const own = seen.get(path);
      const isActive = this.#isActive(watched, own);
      if (isActive) active.set(path, own?.open ?? 0);
      if (this.#isIdle(watched, isActive || isActiveElsewhere?.(path) === true)) idle.push(watched.port);
    }
    onLooked?.(active);
    for (const port of idle) this.#options.onIdle(port);
  }

  /** Whether it had connections since the last look. */
  #isActive(watched: Watched, seen: Seen | undefined): boolean {
    const isNew = [...(seen?.ended ?? [])].some((id) => !watched.ended.has(id));
    watched.ended = seen?.ended ?? new Set();
    return isNew || (seen?.open ?? 0) > 0;
  }

  #isIdle(watched: Watched, isActive: boolean): boolean {
    const now = this.#options.clock.now();
    if (isActive) watched.lastActive = now;
    if (now - watched.lastActive < watched.idleAfter) return false;
    watched.lastActive = now;
    return true;
  }

  /** Takes note of who is awake now. Resolves places to the Services that have them. */
  #find(): ReadonlyMap<string, string> {
    const places = new Map<string, string>();
    const watched = new Map<string, Watched>();
    const now = this.#options.clock.now();
    this.#shortest = Number.POSITIVE_INFINITY;
    this.#hasServices = false;
    for (const family of IP_FAMILIES) {
      for (const port of this.#options.servicePorts(family)) {
        this.#hasServices = true;
        // Most say nothing, and there may be a hundred thousand.
        if (port.options[IDLE_AFTER] === undefined) continue;
        const idleAfter = readWake(port.options).wake?.idleAfter;
        if (idleAfter === undefined) continue;
        this.#shortest = Math.min(this.#shortest, idleAfter);
        if (!port.endpoints.any) continue;
        const path = `${port.namespace}/${port.service}`;
        const known = this.#watched.get(path);
        const since = known ?? { lastActive: now, ended: new Set<number>() };
        if (!watched.has(path)) watched.set(path, { ...since, port, idleAfter });
        for (const place of placesOf(port)) places.set(place, path);
      }
    }
    this.#watched = watched;
    return places;
  }
}

function* placesOf(port: ServicePort): Generator<string> {
  const { clusterIP, externalIPs, loadBalancerIPs, nodePort } = port;
  const protocol = IpProtocol[port.protocol];
  if (clusterIP !== undefined) yield placeOf(protocol, clusterIP, port.port);
  for (const vip of [...externalIPs, ...loadBalancerIPs]) yield placeOf(protocol, vip, port.port);
  if (nodePort !== 0) yield placeOf(protocol, '', nodePort);
}

/** `address` '': any. */
function placeOf(protocol: number, address: IpAddress | '', port: number): string {
  return `${protocol} ${address} ${port}`;
}
