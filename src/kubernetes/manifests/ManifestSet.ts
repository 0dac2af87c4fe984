/**
 * What a set of manifest files says, and what has been delivered of it.
 *
 * A file that cannot be read keeps its last good content in force, an object that turns invalid its last good version.
 * Of objects with the same name the first by path order counts.
 */
import { append } from '../../append.js';
import { printable } from '../../net/printable.js';
import { type ApiObject, type ObjectChange, objectName, refOf } from '../../objects/ApiObject.js';
import { boundedProblems, type Problem } from '../../objects/Problem.js';
import { endpointsAsSlices, isEndpoints } from '../../objects/read/endpointsAsSlices.js';
import { isRawObject, type RawObject } from '../../objects/read/FieldReader.js';
import { inlineEndpoints } from '../../objects/read/inlineEndpoints.js';
import { type ParseResult, parseObject } from '../../objects/read/parseObject.js';
import { sameObject } from '../../objects/sameObject.js';
import type { OtherObject } from '../ObjectSource.js';
import { placeOf, placesAround, type Unreadable } from './findManifests.js';
import { adviceOn, dropEclipsed, type InForce } from './manifestAdvice.js';
import { ForeignKinds } from './manifestNotes.js';
import { isOtherGroup } from './otherGroups.js';
import type { ManifestFault, ManifestObject } from './parseManifest.js';

export interface ManifestUpdate {
  /** Deletions first: what they free may be claimed by the rest. */
  readonly changes: readonly ObjectChange[];
  readonly problems: readonly Problem[];
}

/** One object of a file that has a name. */
interface Entry {
  readonly key: string;
  /** undefined when it is invalid, and then `problem` says why. */
  readonly object: ApiObject | undefined;
  readonly problem: Problem | undefined;
  /** File and, where known, line. */
  readonly where: string;
  /** It was made of an Endpoints object, which is called so. */
  readonly madeOf: string | undefined;
}

/** What is in force, and which entry it was taken from. */
interface Taken extends InForce {
  readonly entry: Entry;
}

interface Content {
  readonly entries: readonly Entry[];
  /** Of items within objects, and of objects without a name. */
  readonly problems: readonly Problem[];
  readonly others: readonly OtherObject[];
  /** When the file came to be, for Services that do not say it: milliseconds since the epoch. */
  readonly since: number | undefined;
}

export class ManifestSet {
  readonly #contents = new Map<string, Content>();
  readonly #faults = new Map<string, ManifestFault>();
  #inForce: ReadonlyMap<string, Taken> = new Map();
  /** What update() said last; undefined when something has changed since. */
  #last: { readonly unreadable: string; readonly problems: readonly Problem[] } | undefined;

  /**
   * The file has been read and holds these objects. `since`: when they came to be, for those that do not say it, in
   * milliseconds since the epoch; what is in force already keeps its time.
   */
  replace(path: string, objects: readonly ManifestObject[], since?: number): void {
    this.#last = undefined;
    this.#faults.delete(path);
    this.#contents.set(path, readContent(path, objects, since));
  }

  /** The file cannot be used as it is. */
  keep(path: string, fault: ManifestFault): void {
    this.#last = undefined;
    this.#faults.set(path, fault);
  }

  /** The file is gone. */
  remove(path: string): void {
    this.#last = undefined;
    this.#faults.delete(path);
    this.#contents.delete(path);
  }

  /** What has changed since the last call, and all problems there are now; `unreadable` are files and folders. */
  update(unreadable: readonly Unreadable[]): ManifestUpdate {
    const unreadableText = JSON.stringify(unreadable);
    if (this.#last?.unreadable === unreadableText) return { changes: [], problems: this.#last.problems };
    const places = unreadable.length === 0 ? new Set<string>() : this.#places();
    const all = unreadable.map(({ path, message }) =>
      faultProblem(path, { line: undefined, message }, places.has(placeOf(path))),
    );
    const next = this.#resolve(all);
    dropEclipsed(next, all);
    append(all, adviceOn(next));
    const problems = boundedProblems(all, 'manifests');
    const changes: ObjectChange[] = [];
    for (const [key, { object }] of this.#inForce)
      if (!next.has(key)) changes.push({ type: 'delete', ref: refOf(object) });
    for (const [key, { object }] of next) {
      const before = this.#inForce.get(key)?.object;
      if (!before || !sameObject(before, object)) changes.push({ type: 'upsert', object });
    }
    this.#inForce = next;
    this.#last = { unreadable: unreadableText, problems };
    return { changes, problems };
  }

  /** Of groups that are not the routing table's, in the order of the files. */
  others(): readonly OtherObject[] {
    return [...this.#contents].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, { others }]) => others);
  }

  /** The files that have content in force, and the folders around them. */
  #places(): ReadonlySet<string> {
    const places = new Set<string>();
    for (const path of this.#contents.keys()) for (const place of placesAround(path)) places.add(place);
    return places;
  }

  #resolve(problems: Problem[]): Map<string, Taken> {
    const next = new Map<string, Taken>();
    const paths = new Set([...this.#contents.keys(), ...this.#faults.keys()]);
    for (const path of [...paths].sort()) {
      const content = this.#contents.get(path);
      const fault = this.#faults.get(path);
      if (fault) problems.push(faultProblem(path, fault, content !== undefined));
      for (const entry of content?.entries ?? [])
        this.#resolveEntry(entry, path, content?.since, next, problems);
      for (const problem of content?.problems ?? []) problems.push(problem);
    }
    return next;
  }

  #resolveEntry(
    entry: Entry,
    path: string,
    since: number | undefined,
    next: Map<string, Taken>,
    problems: Problem[],
  ): void {
    const { key, where, madeOf } = entry;
    const first = next.get(key);
    if (first) {
      const message = `is also in ${first.where}, which comes first; this one is set aside`;
      problems.push({ subject: key, message, where });
      return;
    }
    const before = this.#inForce.get(key);
    // What has not changed is not copied: one file of a hundred thousand objects must not cost the others theirs.
    if (before?.entry === entry) next.set(key, before);
    else if (entry.object)
      next.set(key, { object: dated(entry.object, before?.object, since), path, where, madeOf, entry });
    if (!entry.problem) return;
    const hasGoodVersion = before !== undefined && before.path === path;
    if (hasGoodVersion) next.set(key, { ...before, where });
    problems.push(withConsequence(entry.problem, hasGoodVersion ? 'its last good version' : undefined));
  }
}

/**
 * A Service that does not say when it was made was made when it was first seen: it keeps a contested port or address whatever
 * the names of those that come later.
 */
function dated(object: ApiObject, before: ApiObject | undefined, since: number | undefined): ApiObject {
  if (object.kind !== 'Service' || object.created !== undefined) return object;
  return { ...object, created: before?.kind === 'Service' ? (before.created ?? since) : since };
}

function readContent(path: string, objects: readonly ManifestObject[], since: number | undefined): Content {
  const entries: Entry[] = [];
  const problems: Problem[] = [];
  const others: OtherObject[] = [];
  const foreign = new ForeignKinds(path);
  for (const { raw, line, apiVersion, kind } of objects) {
    const where = printable(line === undefined ? path : `${path}:${line}`);
    const type = isRawObject(raw) ? { apiVersion: raw.apiVersion ?? apiVersion, kind: raw.kind ?? kind } : {};
    if (isEndpoints(raw, type.kind, type.apiVersion)) {
      readEndpoints(raw, where, entries, problems);
      continue;
    }
    if (isOtherGroup(type.apiVersion)) {
      others.push({
        id: `${path} ${others.length}`,
        raw: isRawObject(raw) ? { ...raw, ...type } : raw,
        where,
      });
      continue;
    }
    const result = parseObject(raw, { where, apiVersion, kind, writtenBy: 'person' });
    if (result.type === 'ignored' && result.ref === undefined && result.warnings.length === 0)
      foreign.add(raw, type.kind);
    readResult(result, where, undefined, entries, problems);
    if (result.type === 'object' && result.object.kind === 'Service' && isRawObject(raw)) {
      const { endpoints, faults } = inlineEndpoints(raw);
      const subject = objectName(refOf(result.object));
      for (const message of faults) problems.push({ subject, message, where });
      if (endpoints) readEndpoints(endpoints, where, entries, problems);
    }
  }
  return { entries, problems: [...problems, ...foreign.problems()], others, since };
}

function readEndpoints(raw: RawObject, where: string, entries: Entry[], problems: Problem[]): void {
  const { subject, faults, slices } = endpointsAsSlices(raw);
  for (const message of faults) problems.push({ subject, message, where });
  for (const slice of slices)
    readResult(
      parseObject(slice, { where, subject, writtenBy: 'person' }),
      where,
      subject,
      entries,
      problems,
    );
}

function readResult(
  result: ParseResult,
  where: string,
  madeOf: string | undefined,
  entries: Entry[],
  problems: Problem[],
): void {
  if (result.type !== 'invalid') append(problems, result.warnings);
  if (result.type === 'object') {
    const { object } = result;
    entries.push({ key: objectName(refOf(object)), object, problem: undefined, where, madeOf });
  } else if (result.type === 'invalid') {
    const { ref, problem } = result;
    if (ref) entries.push({ key: objectName(ref), object: undefined, problem, where, madeOf });
    else problems.push(withConsequence(problem, undefined));
  }
}

function faultProblem(path: string, fault: ManifestFault, hasContent: boolean): Problem {
  const shown = printable(path);
  const where = fault.line === undefined ? shown : `${shown}:${fault.line}`;
  const message = fault.line === undefined ? fault.message : `line ${fault.line}: ${fault.message}`;
  return withConsequence(
    { subject: shown, message, where },
    hasContent ? 'its last good content' : undefined,
    'nothing of it is used',
  );
}

function withConsequence(problem: Problem, kept: string | undefined, otherwise = 'it is set aside'): Problem {
  const consequence = kept === undefined ? otherwise : `${kept} stays in force`;
  return { ...problem, message: `${problem.message}; ${consequence}` };
}
