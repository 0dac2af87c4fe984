/** Real servers without new connections that wait for the end of those they have. */
import { type VirtualServerId, virtualServerKey } from '../../../kernel/ipvs/VirtualServer.js';
import { joinHostPort } from '../../../net/ip.js';
import type { DrainingServer } from './Plan.js';

export interface Drain extends DrainingServer {
  /** Milliseconds on the caller's clock: then it goes, whatever connections it has. */
  readonly deadline: number;
}

export class Drains {
  /** By virtual server, then by target. */
  readonly #drains = new Map<string, Map<string, Drain>>();

  get isEmpty(): boolean {
    return this.#drains.size === 0;
  }

  has(serverKey: string, target: string): boolean {
    return this.#drains.get(serverKey)?.has(target) ?? false;
  }

  /** One that is known keeps its deadline. */
  add({ server, destination }: DrainingServer, deadline: number): void {
    const key = virtualServerKey(server);
    const target = joinHostPort(destination.address, destination.port);
    const ofServer = this.#drains.get(key) ?? new Map<string, Drain>();
    if (!ofServer.has(target)) ofServer.set(target, { server, destination, deadline });
    this.#drains.set(key, ofServer);
  }

  remove(serverKey: string, target: string): void {
    const ofServer = this.#drains.get(serverKey);
    ofServer?.delete(target);
    if (ofServer?.size === 0) this.#drains.delete(serverKey);
  }

  removeServer(serverKey: string): void {
    this.#drains.delete(serverKey);
  }

  /** Each virtual server with those of its real servers that are drained. */
  *servers(): Iterable<readonly [server: VirtualServerId, drains: ReadonlyMap<string, Drain>]> {
    for (const drains of [...this.#drains.values()]) {
      const [first] = drains.values();
      if (first) yield [first.server, drains];
    }
  }

  /** Everything goes, but for what `keep` says of a virtual server and target. */
  retain(keep: (serverKey: string, target: string) => boolean): void {
    for (const [key, drains] of this.#drains) {
      for (const target of drains.keys()) if (!keep(key, target)) this.remove(key, target);
    }
  }
}
