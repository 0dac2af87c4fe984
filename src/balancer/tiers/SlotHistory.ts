/**
 * Which node has each slot of the table of one service port, and which had it before: the second chance of connections that are
 * older than the table (GitHub's GLB director). Pure.
 */
import { maglevOfNames } from '../../balancing/maglev.js';

/** A prime: a hundred entries for each of twenty nodes. The same everywhere: with another size nearly all clients move. */
export const SLOTS = 2039;

/** Milliseconds for which a slot remembers its node before. */
export const DRAIN_MS = 600_000;

type SlotNodes = readonly (string | undefined)[];

/** Most ports of a cluster lead to the same few lists of nodes. The same array for the same list, as long as it is remembered. */
const REMEMBERED = 256;
const remembered = new Map<string, SlotNodes>();

function tableOf(sorted: readonly string[]): SlotNodes {
  const key = sorted.join(' ');
  const known = remembered.get(key);
  if (known) return known;
  if (remembered.size >= REMEMBERED) remembered.clear();
  const table = Array.from(maglevOfNames(sorted, SLOTS), (index) => sorted[index]);
  remembered.set(key, table);
  return table;
}

interface Before {
  readonly node: string;
  readonly until: number;
}

export class SlotHistory {
  #nodes: readonly string[] = [];
  #table: SlotNodes = [];
  readonly #before = new Map<number, Before>();

  /** Sorted names of the nodes with endpoints. */
  get nodes(): readonly string[] {
    return this.#nodes;
  }

  /** Node of each slot; empty when there is none. */
  get table(): SlotNodes {
    return this.#table;
  }

  set(nodes: readonly string[], now: number): void {
    const sorted = [...new Set(nodes)].sort();
    if (sorted.join(' ') === this.#nodes.join(' ')) return;
    const next = tableOf(sorted);
    for (let slot = 0; slot < Math.max(next.length, this.#table.length); slot++) {
      const node = this.#table[slot];
      // Whoever had the slot longest ago is forgotten: one hop is all that a packet is worth.
      if (node !== undefined && node !== next[slot]) this.#before.set(slot, { node, until: now + DRAIN_MS });
    }
    this.#nodes = sorted;
    this.#table = next;
  }

  /** Slot → node before, where that is another one and still one of `alive`. */
  before(alive: ReadonlySet<string>, now: number): ReadonlyMap<number, string> {
    const found = new Map<number, string>();
    for (const [slot, { node, until }] of this.#before) {
      if (until <= now) this.#before.delete(slot);
      else if (alive.has(node) && this.#table[slot] !== undefined && this.#table[slot] !== node)
        found.set(slot, node);
    }
    return found;
  }

  /** When before() forgets something next; undefined: nothing is remembered. */
  get nextChange(): number | undefined {
    let first: number | undefined;
    for (const { until } of this.#before.values()) first = Math.min(first ?? until, until);
    return first;
  }
}
