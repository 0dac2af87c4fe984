/**
 * The objects of one resource as they were delivered. Whatever the API server sends, once or twice, leads to the changes
 * that make a difference and to no others.
 */
import { append } from '../../append.js';
import { type ApiObject, type ObjectChange, objectName, refOf } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import { parseObject } from '../../objects/read/parseObject.js';
import { sameObject } from '../../objects/sameObject.js';
import type { Resource } from './resources.js';

export class ResourceStore {
  readonly #resource: Resource;
  readonly #objects = new Map<string, ApiObject>();
  readonly #problems = new Map<string, readonly Problem[]>();
  #problemVersion = 0;

  constructor(resource: Resource) {
    this.#resource = resource;
  }

  get problems(): Iterable<readonly Problem[]> {
    return this.#problems.values();
  }

  /** Grows whenever a problem comes, goes or changes: what is the same has not to be looked at. */
  get problemVersion(): number {
    return this.#problemVersion;
  }

  /** The object exists now, like this. */
  upsert(raw: unknown): readonly ObjectChange[] {
    const key = this.#keyOf(raw);
    const change = this.#read(raw, key);
    if (change) this.#take(key, change);
    return change ? [change] : [];
  }

  /** The object is gone. */
  remove(raw: unknown): readonly ObjectChange[] {
    return this.#drop(this.#keyOf(raw));
  }

  /** Reads everything anew: what is not seen until the snapshot is taken, is gone. */
  snapshot(): Snapshot {
    const seen = new Set<string>();
    const changes = new Map<string, ObjectChange | undefined>();
    return {
      add: (raw) => {
        const key = this.#keyOf(raw);
        seen.add(key);
        const change = this.#read(raw, key);
        if (change) changes.set(key, change);
        else changes.delete(key);
      },
      remove: (raw) => {
        const key = this.#keyOf(raw);
        seen.delete(key);
        changes.delete(key);
      },
      take: () => {
        const gone: ObjectChange[] = [];
        for (const key of [...this.#objects.keys(), ...this.#problems.keys()])
          if (!seen.has(key)) append(gone, this.#drop(key));
        const rest: ObjectChange[] = [];
        for (const [key, change] of changes) {
          if (!change) continue;
          this.#take(key, change);
          rest.push(change);
        }
        // What is deleted frees addresses that the rest may claim.
        return [...gone, ...rest];
      },
    };
  }

  #take(key: string, change: ObjectChange): void {
    if (change.type === 'upsert') this.#objects.set(key, change.object);
    else this.#objects.delete(key);
  }

  #drop(key: string): readonly ObjectChange[] {
    this.#setProblems(key, []);
    const object = this.#objects.get(key);
    this.#objects.delete(key);
    return object ? [{ type: 'delete', ref: refOf(object) }] : [];
  }

  /** Notes problems; an invalid object changes nothing, its last good version stays in force. */
  #read(raw: unknown, key: string): ObjectChange | undefined {
    const { kind, apiVersion } = this.#resource;
    const before = this.#objects.get(key);
    const result = parseObject(isRawObject(raw) ? { ...raw, kind, apiVersion } : raw);
    if (result.type === 'invalid') {
      const consequence = before ? 'its last good version stays in force' : 'it is set aside';
      const message = `${result.problem.message}; ${consequence}`;
      this.#setProblems(key, [{ ...result.problem, message }]);
      return undefined;
    }
    this.#setProblems(key, result.warnings);
    if (result.type === 'ignored') return before && { type: 'delete', ref: refOf(before) };
    const { object } = result;
    return before && sameObject(before, object) ? undefined : { type: 'upsert', object };
  }

  #setProblems(key: string, problems: readonly Problem[]): void {
    const before = this.#problems.get(key) ?? [];
    if (problems.length === 0) this.#problems.delete(key);
    else this.#problems.set(key, problems);
    const same =
      before.length === problems.length && before.every(({ message }, i) => message === problems[i]?.message);
    if (!same) this.#problemVersion++;
  }

  /** As objectName() has it, also for objects that cannot be read. */
  #keyOf(raw: unknown): string {
    const metadata = isRawObject(raw) && isRawObject(raw.metadata) ? raw.metadata : {};
    // What is no text is no name; turning it into one may throw.
    const namespace = typeof metadata.namespace === 'string' ? metadata.namespace : '';
    const name = typeof metadata.name === 'string' ? metadata.name : '(no name)';
    return objectName({ kind: this.#resource.kind, namespace, name });
  }
}

export interface Snapshot {
  /** Changes nothing yet. */
  add(raw: unknown): void;
  /** As if it had never been added. */
  remove(raw: unknown): void;
  /** Makes the store say what was added, and nothing else. Answers the difference, deletions first. */
  take(): readonly ObjectChange[];
}
