/**
 * What a set of manifest files says, and what has been delivered of it.
 *
 * A file that cannot be read keeps its last good content in force, an object that turns invalid its last good version.
 * Of objects with the same name the first by path order counts. A change costs the objects of the files that changed, not all.
 */
import type { ApiObject, ObjectChange } from '../../objects/ApiObject.js';
import { refOf } from '../../objects/ApiObject.js';
import { boundedProblems, type Problem } from '../../objects/Problem.js';
import { sameObject } from '../../objects/sameObject.js';
import type { OtherObject } from '../ObjectSource.js';
import { placeOf, placesAround, type Unreadable } from './findManifests.js';
import { faultProblem, withConsequence } from './manifestErrors.js';
import { NamedEntries } from './NamedEntries.js';
import { type IsOther, isOtherGroup } from './otherGroups.js';
import type { ManifestFault, ManifestObject } from './parseManifest.js';
import { type Entry, inOrder, readContent } from './readContent.js';
import { ServiceGroups, type Taken } from './ServiceGroups.js';

export interface ManifestUpdate {
  /** Deletions first: what they free may be claimed by the rest. */
  readonly changes: readonly ObjectChange[];
  readonly problems: readonly Problem[];
}

export class ManifestSet {
  readonly #entries = new Map<string, readonly Entry[]>();
  readonly #faults = new Map<string, ManifestFault>();
  /** Path → what is wrong in the file beside its objects, where anything is. */
  readonly #fileProblems = new Map<string, readonly Problem[]>();
  /** Path → index of an object in the file → why it does not count, where it does not. */
  readonly #entryProblems = new Map<string, Map<number, Problem>>();
  readonly #others = new Map<string, readonly OtherObject[]>();
  readonly #named = new NamedEntries();
  readonly #groups = new ServiceGroups();
  readonly #isOther: IsOther;
  /** Keys of objects in files that changed since update(). */
  readonly #touched = new Set<string>();
  /** What update() said last; undefined when something has changed since. */
  #last: { readonly unreadable: string; readonly problems: readonly Problem[] } | undefined;

  constructor(isOther: IsOther = isOtherGroup) {
    this.#isOther = isOther;
  }

  /**
   * The file has been read and holds these objects. `since`: when they came to be, for those that do not say it, in
   * milliseconds since the epoch; what is in force already keeps its time.
   */
  replace(path: string, objects: readonly ManifestObject[], since?: number): void {
    this.#last = undefined;
    const { entries, problems, others } = readContent(path, objects, since, this.#isOther);
    this.#drop(path);
    this.#entries.set(path, entries);
    for (const entry of entries) {
      this.#named.add(entry);
      this.#touched.add(entry.key);
    }
    if (problems.length > 0) this.#fileProblems.set(path, problems);
    if (others.length > 0) this.#others.set(path, others);
  }

  /** The file cannot be used as it is. */
  keep(path: string, fault: ManifestFault): void {
    this.#last = undefined;
    this.#faults.set(path, fault);
  }

  /** The file is gone. */
  remove(path: string): void {
    this.#last = undefined;
    this.#drop(path);
  }

  /** What has changed since the last call, and all problems there are now; `unreadable` are files and folders. */
  update(unreadable: readonly Unreadable[]): ManifestUpdate {
    const unreadableText = JSON.stringify(unreadable);
    if (this.#last?.unreadable === unreadableText) return { changes: [], problems: this.#last.problems };
    for (const key of this.#touched) this.#groups.set(key, this.#resolve(key));
    this.#touched.clear();
    const changes = this.#changes(this.#groups.settle());
    const problems = boundedProblems(this.#problems(unreadable), 'manifests');
    this.#last = { unreadable: unreadableText, problems };
    return { changes, problems };
  }

  /** Of groups that are not the routing table's, in the order of the files. */
  others(): readonly OtherObject[] {
    return [...this.#others].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, others]) => others);
  }

  #drop(path: string): void {
    for (const entry of this.#entries.get(path) ?? []) {
      this.#named.delete(entry);
      this.#touched.add(entry.key);
    }
    this.#entries.delete(path);
    this.#faults.delete(path);
    this.#fileProblems.delete(path);
    this.#entryProblems.delete(path);
    this.#others.delete(path);
  }

  /** What counts of the objects of a name, and why the others do not. */
  #resolve(key: string): Taken | undefined {
    const before = this.#groups.taken(key);
    let taken: Taken | undefined;
    for (const entry of this.#named.of(key)) {
      if (taken) {
        const message = `is also in ${taken.where}, which comes first; this one is set aside`;
        this.#say(entry, { subject: key, message, where: entry.where });
        continue;
      }
      const { object, problem, where, source } = entry;
      // What has not changed is not copied: one file of a hundred thousand objects must not cost the others theirs.
      if (before?.entry === entry) taken = before;
      else if (object) {
        taken = { object: dated(object, before?.object, source.since), where, entry };
        // The entry has the same one: a second of each Service would be a tenth of the memory.
        entry.object = taken.object;
      }
      const hasGoodVersion =
        problem !== undefined && before !== undefined && before.entry.source.path === source.path;
      if (hasGoodVersion) taken = { ...before, where };
      const kept = hasGoodVersion ? 'its last good version' : undefined;
      this.#say(entry, problem && withConsequence(problem, kept));
    }
    return taken;
  }

  #say({ source, index }: Entry, problem: Problem | undefined): void {
    const known = this.#entryProblems.get(source.path);
    if (problem) {
      if (known) known.set(index, problem);
      else this.#entryProblems.set(source.path, new Map([[index, problem]]));
    } else if (known?.delete(index) && known.size === 0) this.#entryProblems.delete(source.path);
  }

  #changes(before: ReadonlyMap<string, Taken | undefined>): readonly ObjectChange[] {
    const changes: ObjectChange[] = [];
    const upserts: Taken[] = [];
    for (const [key, was] of before) {
      const now = this.#groups.inForce(key);
      if (was && !now) changes.push({ type: 'delete', ref: refOf(was.object) });
      if (now && !(was && sameObject(was.object, now.object))) upserts.push(now);
    }
    for (const { object } of upserts.sort((a, b) => inOrder(a.entry, b.entry)))
      changes.push({ type: 'upsert', object });
    return changes;
  }

  *#problems(unreadable: readonly Unreadable[]): Generator<Problem> {
    const places = unreadable.length === 0 ? new Set<string>() : this.#places();
    for (const { path, message } of unreadable)
      yield faultProblem(path, { line: undefined, message }, places.has(placeOf(path)));
    const paths = [this.#faults, this.#fileProblems, this.#entryProblems].flatMap((map) => [...map.keys()]);
    for (const path of [...new Set(paths)].sort()) {
      const fault = this.#faults.get(path);
      if (fault) yield faultProblem(path, fault, this.#entries.has(path));
      const ofEntries = [...(this.#entryProblems.get(path) ?? [])].sort(([a], [b]) => a - b);
      for (const [, problem] of ofEntries) yield problem;
      yield* this.#fileProblems.get(path) ?? [];
    }
    yield* this.#groups.problems();
  }

  /** The files that have content in force, and the folders around them. */
  #places(): ReadonlySet<string> {
    const places = new Set<string>();
    for (const path of this.#entries.keys()) for (const place of placesAround(path)) places.add(place);
    return places;
  }
}

/**
 * A Service that does not say when it was made was made when it was first seen: it keeps a contested port or address whatever
 * the names of those that come later.
 */
function dated(object: ApiObject, before: ApiObject | undefined, since: number | undefined): ApiObject {
  if (object.kind !== 'Service' || object.created !== undefined) return object;
  const created = before?.kind === 'Service' ? (before.created ?? since) : since;
  return created === undefined ? object : { ...object, created };
}
