/** The objects that say what is announced and how: pools, advertisements, routers. From an API server or from manifests; pure. */
import type { OtherObject } from '../../kubernetes/ObjectSource.js';
import { objectName } from '../../objects/ApiObject.js';
import { boundedProblems, type Problem } from '../../objects/Problem.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import { type AddressPool, parsePool, poolName } from '../addresses/AddressPool.js';
import type { AnnouncingKind, AnnouncingObject } from '../objects/announcing.js';
import { parseAnnouncing } from '../objects/parseAnnouncing.js';

type Known = { readonly key: string; readonly version: string } & (
  | { readonly type: 'pool'; readonly pool: AddressPool }
  | { readonly type: 'object'; readonly object: AnnouncingObject }
);

/** More problems than these are counted. */
const MOST_PROBLEMS = 100;

export class AnnouncementObjects {
  /** By the source's name for the object. */
  readonly #known = new Map<string, Known>();
  readonly #problems = new Map<string, readonly Problem[]>();
  /** Undefined: to be found anew. */
  #winners: readonly Known[] | undefined;

  /**
   * `id` is unique in the source. An object that turns bad stays as it was; the problem says so. Answers whether it is an
   * object of these kinds at all.
   */
  set(id: string, raw: unknown, where?: string): boolean {
    const pool = parsePool(raw, where);
    if (pool.type === 'pool') {
      const key = poolName(pool.pool);
      this.#take(id, { key, version: versionOf(raw), type: 'pool', pool: pool.pool }, pool.warnings);
      return true;
    }
    if (pool.type === 'invalid') return this.#refuse(id, pool.problem);
    const read = parseAnnouncing(raw, where);
    if (read.type === 'foreign') return false;
    if (read.type === 'invalid') return this.#refuse(id, read.problem);
    const key = objectName(read.object);
    this.#take(id, { key, version: versionOf(raw), type: 'object', object: read.object }, read.warnings);
    return true;
  }

  /** Whole list. In its order, whatever there was before: of two objects of one name every node takes the same. */
  replace(list: readonly OtherObject[]): void {
    // An id of a manifest is its place in a file, where another object may stand now.
    const before = new Map(
      [...this.#known.values()].map((known) => [`${known.version} ${known.key}`, known]),
    );
    this.#winners = undefined;
    this.#known.clear();
    this.#problems.clear();
    for (const { id, raw, where } of list) {
      const known = before.get(`${versionOf(raw)} ${keyOf(raw)}`);
      if (known) this.#known.set(id, known);
      if (!this.set(id, raw, where)) this.#known.delete(id);
    }
  }

  delete(id: string): void {
    this.#winners = undefined;
    this.#known.delete(id);
    this.#problems.delete(id);
  }

  get pools(): readonly AddressPool[] {
    return this.#current().flatMap((known) => (known.type === 'pool' ? [known.pool] : []));
  }

  ofKind<Kind extends AnnouncingKind>(kind: Kind): readonly Extract<AnnouncingObject, { kind: Kind }>[] {
    return this.#current().flatMap((known) =>
      known.type === 'object' && known.object.kind === kind
        ? [known.object as Extract<AnnouncingObject, { kind: Kind }>]
        : [],
    );
  }

  problems(): readonly Problem[] {
    return boundedProblems([...this.#problems.values()].flat(), 'announcements', { most: MOST_PROBLEMS });
  }

  #take(id: string, known: Known, warnings: readonly Problem[]): void {
    this.#winners = undefined;
    this.#known.set(id, known);
    if (warnings.length > 0) this.#problems.set(id, warnings);
    else this.#problems.delete(id);
  }

  #refuse(id: string, problem: Problem): true {
    const kept = this.#known.has(id) ? 'its last good version stays in force' : 'it is set aside';
    this.#problems.set(id, [{ ...problem, message: `${problem.message}; ${kept}` }]);
    return true;
  }

  /** In the order of their keys, the same on every node. Of two of one name, ours comes before MetalLB's. */
  #current(): readonly Known[] {
    if (this.#winners) return this.#winners;
    const winners = new Map<string, Known>();
    for (const known of this.#known.values()) {
      const before = winners.get(known.key);
      if (before === undefined || (isOurs(known) && !isOurs(before))) winners.set(known.key, known);
    }
    this.#winners = [...winners.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    return this.#winners;
  }
}

function isOurs({ version }: Known): boolean {
  return version.startsWith('penstock.io/');
}

function versionOf(raw: unknown): string {
  return isRawObject(raw) && typeof raw.apiVersion === 'string' ? raw.apiVersion : '';
}

/** As of what can be read. */
function keyOf(raw: unknown): string {
  const { kind, metadata } = isRawObject(raw) ? raw : {};
  const { namespace, name } = isRawObject(metadata) ? metadata : {};
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  return objectName({ kind: text(kind), namespace: text(namespace), name: text(name) });
}
