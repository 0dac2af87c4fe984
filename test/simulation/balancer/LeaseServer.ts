/** An API server that knows Leases: written late, watched later, cut off from some nodes. */
import type { LeaseApi } from '../../../src/balancer/membership/LeaseMembership.js';
import type { Chance } from '../Chance.js';
import type { VirtualTime } from '../VirtualTime.js';

type Lease = { readonly metadata: { readonly name: string; readonly resourceVersion?: string } };
type Take = (type: 'upsert' | 'delete', raw: unknown) => void;

/** Milliseconds until a broken watch is begun anew. */
const REWATCH_MS = [200, 2000] as const;

export class LeaseServer {
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #leases = new Map<string, Lease>();
  readonly #watches = new Map<string, { readonly take: Take; broken: boolean }>();
  readonly #cut = new Set<string>();
  #version = 1;

  constructor(time: VirtualTime, chance: Chance) {
    this.#time = time;
    this.#chance = chance;
  }

  isCut(node: string): boolean {
    return this.#cut.has(node);
  }

  /** Requests fail, watches break off. */
  cut(node: string): void {
    this.#cut.add(node);
    const watch = this.#watches.get(node);
    if (watch) watch.broken = true;
  }

  restore(node: string): void {
    if (!this.#cut.delete(node)) return;
    this.#rewatch(node);
  }

  /** As by `kubectl delete`. `names`: of Leases; undefined: all. */
  delete(names?: readonly string[]): void {
    for (const [name, lease] of [...this.#leases]) {
      if (names?.includes(name) === false) continue;
      this.#leases.delete(name);
      this.#deliver('delete', lease);
    }
  }

  /** Answers how to end it. */
  watch(node: string, take: Take): () => void {
    const watch = { take, broken: true };
    this.#watches.set(node, watch);
    this.#rewatch(node);
    return () => {
      if (this.#watches.get(node) === watch) this.#watches.delete(node);
    };
  }

  /** `run`: the node's process takes an answer. */
  accessOf(node: string, run: (action: () => void) => void): LeaseApi {
    return {
      server: 'https://api.test:6443',
      send: (method, _path, body) =>
        new Promise((resolve, reject) => {
          const fail = () => run(() => reject(new Error('connect ETIMEDOUT')));
          this.#time.afterForAll(this.#latency(), () => {
            // Some requests are refused at once, others time out.
            if (this.#cut.has(node))
              return void this.#time.afterForAll(this.#chance.percent(50) ? 10 : 5000, fail);
            const status = this.#write(method, body as Lease);
            this.#time.afterForAll(this.#latency(), () =>
              this.#cut.has(node) ? this.#time.afterForAll(5000, fail) : run(() => resolve(status)),
            );
          });
        }),
    };
  }

  #write(method: 'POST' | 'PATCH', lease: Lease): number {
    const { name } = lease.metadata;
    const known = this.#leases.has(name);
    if (method === 'PATCH' && !known) return 404;
    if (method === 'POST' && known) return 409;
    const stored = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(++this.#version) } };
    this.#leases.set(name, stored);
    this.#deliver('upsert', stored);
    return method === 'POST' ? 201 : 200;
  }

  #deliver(type: 'upsert' | 'delete', lease: Lease): void {
    for (const [node, watch] of this.#watches) {
      if (watch.broken || this.#cut.has(node)) continue;
      this.#time.afterForAll(this.#latency(), () => {
        if (!watch.broken && this.#watches.get(node) === watch) watch.take(type, lease);
      });
    }
  }

  #rewatch(node: string): void {
    const [least, most] = REWATCH_MS;
    const watch = this.#watches.get(node);
    if (watch === undefined) return;
    this.#time.afterForAll(least + this.#chance.random() * (most - least), () => {
      if (this.#cut.has(node) || this.#watches.get(node) !== watch || !watch.broken) return;
      watch.broken = false;
      for (const lease of this.#leases.values()) watch.take('upsert', lease);
    });
  }

  #latency(): number {
    return 2 + this.#chance.random() * 30;
  }
}
