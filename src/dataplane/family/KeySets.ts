/** Sets of a table that hold keys of service ports: which are wanted, and what a change adds and takes away. */
import type { SetSpec } from '../../kernel/nftables/SetSpec.js';
import type { Transaction } from '../../kernel/nftables/Transaction.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { WantedKeys } from './WantedKeys.js';

export class KeySets {
  readonly sets: readonly SetSpec[];
  readonly #elementsOf: (port: ServicePort) => Iterable<readonly [set: string, key: string]>;
  readonly #wanted: ReadonlyMap<string, WantedKeys>;

  constructor(
    sets: readonly SetSpec[],
    elementsOf: (port: ServicePort) => Iterable<readonly [set: string, key: string]>,
  ) {
    this.sets = sets;
    this.#elementsOf = elementsOf;
    this.#wanted = new Map(sets.map(({ name }) => [name, new WantedKeys()]));
  }

  keys(set: string): Iterable<string> {
    return this.#wanted.get(set)?.keys() ?? [];
  }

  add(port: ServicePort): void {
    for (const [set, key] of this.#elementsOf(port)) this.#wanted.get(set)?.add(key);
  }

  /** Takes note of changes, and writes down the elements that come and go through them. */
  change(changes: readonly ServicePortChange[], transaction: Transaction): void {
    const net = new Map<string, Map<string, number>>();
    const count = (port: ServicePort | undefined, by: number) => {
      for (const [set, key] of port ? this.#elementsOf(port) : []) {
        const ofSet = net.get(set) ?? new Map<string, number>();
        net.set(set, ofSet.set(key, (ofSet.get(key) ?? 0) + by));
      }
    };
    for (const { before, after } of changes) {
      count(before, -1);
      count(after, 1);
    }
    for (const set of this.sets) {
      const wanted = this.#wanted.get(set.name);
      for (const [key, by] of net.get(set.name) ?? []) {
        for (let i = by; i > 0; i--) if (wanted?.add(key)) transaction.addElement(set, key, undefined);
        for (let i = by; i < 0; i++) if (wanted?.remove(key)) transaction.deleteElement(set, key);
      }
    }
  }
}
