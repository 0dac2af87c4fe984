/**
 * What a set of manifest files says, and what has been delivered of it.
 *
 * A file that cannot be read keeps its last good content in force, an object that turns invalid its last good version.
 * Of objects with the same name the first by path order counts.
 */
import { type ApiObject, type ObjectChange, objectName, refOf } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import { parseObject } from '../../objects/read/parseObject.js';
import { sameObject } from '../../objects/sameObject.js';
import { isBelow, type Unreadable } from './findManifests.js';
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
}

interface Content {
  readonly entries: readonly Entry[];
  /** Of items within objects, and of objects without a name. */
  readonly problems: readonly Problem[];
}

interface InForce {
  readonly object: ApiObject;
  readonly path: string;
  readonly where: string;
}

export class ManifestSet {
  readonly #contents = new Map<string, Content>();
  readonly #faults = new Map<string, ManifestFault>();
  #inForce: ReadonlyMap<string, InForce> = new Map();
  /** What update() said last; undefined when something has changed since. */
  #last: { readonly unreadable: string; readonly problems: readonly Problem[] } | undefined;

  /** The file has been read and holds these objects. */
  replace(path: string, objects: readonly ManifestObject[]): void {
    this.#last = undefined;
    this.#faults.delete(path);
    this.#contents.set(path, readContent(path, objects));
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
    const problems = unreadable.map(({ path, message }) =>
      faultProblem(path, { line: undefined, message }, this.#holds(path)),
    );
    const next = this.#resolve(problems);
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

  /** Whether the file, or one below the folder, has content in force. */
  #holds(path: string): boolean {
    for (const known of this.#contents.keys()) if (isBelow(known, path)) return true;
    return false;
  }

  #resolve(problems: Problem[]): ReadonlyMap<string, InForce> {
    const next = new Map<string, InForce>();
    const paths = new Set([...this.#contents.keys(), ...this.#faults.keys()]);
    for (const path of [...paths].sort()) {
      const content = this.#contents.get(path);
      const fault = this.#faults.get(path);
      if (fault) problems.push(faultProblem(path, fault, content !== undefined));
      for (const entry of content?.entries ?? []) this.#resolveEntry(entry, path, next, problems);
      for (const problem of content?.problems ?? []) problems.push(problem);
    }
    return next;
  }

  #resolveEntry(entry: Entry, path: string, next: Map<string, InForce>, problems: Problem[]): void {
    const { key, where } = entry;
    const first = next.get(key);
    if (first) {
      const message = `is also in ${first.where}, which comes first; this one is set aside`;
      problems.push({ subject: key, message, where });
      return;
    }
    if (entry.object) next.set(key, { object: entry.object, path, where });
    if (!entry.problem) return;
    const before = this.#inForce.get(key);
    const hasGoodVersion = before !== undefined && before.path === path;
    if (hasGoodVersion) next.set(key, { ...before, where });
    problems.push(withConsequence(entry.problem, hasGoodVersion ? 'its last good version' : undefined));
  }
}

function readContent(path: string, objects: readonly ManifestObject[]): Content {
  const entries: Entry[] = [];
  const problems: Problem[] = [];
  for (const { raw, line, apiVersion, kind } of objects) {
    const where = line === undefined ? path : `${path}:${line}`;
    const result = parseObject(raw, { where, apiVersion, kind });
    if (result.type !== 'invalid') problems.push(...result.warnings);
    if (result.type === 'object') {
      const { object } = result;
      entries.push({ key: objectName(refOf(object)), object, problem: undefined, where });
    } else if (result.type === 'invalid') {
      const { ref, problem } = result;
      if (ref) entries.push({ key: objectName(ref), object: undefined, problem, where });
      else problems.push(withConsequence(problem, undefined));
    }
  }
  return { entries, problems };
}

function faultProblem(path: string, fault: ManifestFault, hasContent: boolean): Problem {
  const where = fault.line === undefined ? path : `${path}:${fault.line}`;
  const message = fault.line === undefined ? fault.message : `line ${fault.line}: ${fault.message}`;
  return withConsequence(
    { subject: path, message, where },
    hasContent ? 'its last good content' : undefined,
    'nothing of it is used',
  );
}

function withConsequence(problem: Problem, kept: string | undefined, otherwise = 'it is set aside'): Problem {
  const consequence = kept === undefined ? otherwise : `${kept} stays in force`;
  return { ...problem, message: `${problem.message}; ${consequence}` };
}
