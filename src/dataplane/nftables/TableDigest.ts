/**
 * What the elements of a table in the kernel come to. To list a set takes the kernel a time that grows with the square of its elements:
 * for each datagram of the listing it goes through the set from the beginning (4 s for 250,000 elements). Where the kernel says how many
 * a large set has, those that must be there are asked for by their keys: all of them, and no more than there are, is all. The kernel does not
 * count the element for all keys that no other has (nft_add_set_elem), so that one is asked for besides.
 */
import { CATCH_ALL } from '../../kernel/nftables/elements.js';
import { ElementDigest } from '../../kernel/nftables/listing/ElementDigest.js';
import type { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import type { WantedKeysOfSet } from '../Dataplane.js';
import { isNotOurs } from './desired/sets.js';
import type { Present } from './plan/planFull.js';
import { readPresent } from './plan/readPresent.js';
import { SIZED_SETS } from './plan/TableContents.js';

/** The kernel's table with what the elements of each of its sets come to. */
export interface PresentDigest extends Pick<Present, 'state' | 'sizes'> {
  readonly sets: ReadonlyMap<string, ElementDigest>;
}

/** From here on it takes less to ask for each element than to list them: measured on Linux 6.18, bench/README.md. */
const LARGE = 120_000;

/** A set whose elements are asked for. */
interface LargeSet {
  readonly digest: ElementDigest;
  readonly count: number;
  /** Whether all that were asked for are there. Never rejects: a failure comes with end(). */
  asked: Promise<boolean>;
}

export class TableDigest {
  readonly #table: NftablesTable;
  readonly #present: Present;
  readonly #digests = new Map<string, ElementDigest>();
  readonly #large = new Map<string, LargeSet>();

  /** Undefined when there is no table. `large`: elements from which a set is. Rejects with NetlinkError. */
  static async begin(table: NftablesTable, large = LARGE): Promise<TableDigest | undefined> {
    const present = await readPresent(table);
    return present && new TableDigest(table, present, large);
  }

  private constructor(table: NftablesTable, present: Present, large: number) {
    this.#table = table;
    this.#present = present;
    for (const set of SIZED_SETS) {
      const count = present.state.counts?.get(set) ?? 0;
      if (count >= large)
        this.#large.set(set, { digest: new ElementDigest(), count, asked: Promise.resolve(true) });
    }
  }

  /** Those whose keys takeKeys() should be given. */
  get largeSets(): readonly string[] {
    return [...this.#large.keys()];
  }

  /** Asks for elements of a large set as soon as those before are answered. */
  takeKeys({ set, length, keys }: Omit<WantedKeysOfSet, 'family'>): void {
    const large = this.#large.get(set);
    if (large === undefined || !(length > 0)) return;
    const bytes = Buffer.from(keys, 'base64').toString('latin1');
    const before = large.asked;
    large.asked = (async () => {
      // One that is missing is enough.
      if (!(await before)) return false;
      const apart: string[] = [];
      for (let at = 0; at < bytes.length; at += length) apart.push(bytes.slice(at, at + length));
      return this.#table.digestKeys({ name: set }, apart, large.digest);
    })();
    // Whoever waits for the end hears of it.
    large.asked.catch(() => {});
  }

  /** Lists the sets that are not large. Rejects with NetlinkError. */
  async readOthers(): Promise<void> {
    for (const name of this.#present.state.sets.keys())
      if (!isNotOurs(name) && !name.startsWith('__') && !this.#large.has(name))
        this.#digests.set(name, await this.#table.digestElements({ name }));
  }

  /** After the last keys; undefined when a large set has not just what was asked for. Rejects with NetlinkError. */
  async end(): Promise<PresentDigest | undefined> {
    for (const [name, { digest, count, asked }] of this.#large) {
      if (!(await asked)) return undefined;
      // An agent of another version gives no keys.
      const found = digest.count === 0 ? await this.#table.digestElements({ name }) : digest;
      if (found.count !== count || (await this.#hasCatchAll(name))) return undefined;
      this.#digests.set(name, found);
    }
    const { state, sizes } = this.#present;
    return { state, sizes, sets: this.#digests };
  }

  /** None of our large sets has one. */
  async #hasCatchAll(name: string): Promise<boolean> {
    return (await this.#table.findElements({ name, key: { types: [] } }, [CATCH_ALL])).length > 0;
  }
}
