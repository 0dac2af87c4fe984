/**
 * Services with their slices, as manifests have them: which slices give way to others, and what is wrong between a Service and
 * its slices. A change costs the Services that it touches, however many there are.
 */
import { type ApiObject, objectPath, ownerPath } from '../../objects/ApiObject.js';
import type { EndpointSlice } from '../../objects/EndpointSlice.js';
import type { Problem } from '../../objects/Problem.js';
import { adviceOn } from './manifestAdvice.js';
import { type Entry, inOrder } from './readContent.js';

/** What counts of the objects of a name. */
export interface Taken {
  readonly object: ApiObject;
  /** File and, where known, line. */
  readonly where: string;
  /** What it was taken from: of an object that turned invalid, its last good version. */
  readonly entry: Entry;
}

interface TakenSlice extends Taken {
  readonly object: EndpointSlice;
}

/** Of one Service. */
interface Advice {
  /** Says where among the others. */
  readonly first: Entry;
  readonly eclipsed: readonly Problem[];
  readonly problems: readonly Problem[];
}

export class ServiceGroups {
  /** By key, whatever gives way. */
  readonly #taken = new Map<string, Taken>();
  /** `shop/cart` → keys of the slices of that Service. Most have one. */
  readonly #slices = new Map<string, string | Set<string>>();
  readonly #eclipsed = new Set<string>();
  readonly #advice = new Map<string, Advice>();
  /** Services that are not there and have slices. */
  readonly #orphaned = new Set<string>();
  readonly #touched = new Set<string>();
  /** Of keys that may have changed since settle() was called last: what was in force then. */
  #before = new Map<string, Taken | undefined>();

  /** Whatever gives way. */
  taken(key: string): Taken | undefined {
    return this.#taken.get(key);
  }

  inForce(key: string): Taken | undefined {
    return this.#eclipsed.has(key) ? undefined : this.#taken.get(key);
  }

  set(key: string, after: Taken | undefined): void {
    const before = this.#taken.get(key);
    if (before === after) return;
    this.#note(key);
    if (before) this.#leave(key, before.object);
    if (after) {
      this.#taken.set(key, after);
      this.#join(key, after.object);
    } else {
      this.#taken.delete(key);
      this.#eclipsed.delete(key);
    }
  }

  /** What was in force when this was called last, of all keys that may be another since. */
  settle(): ReadonlyMap<string, Taken | undefined> {
    this.#touchOrphans();
    const elsewhere = this.#namespaces();
    for (const owner of this.#touched) {
      const slices = this.#slicesOf(owner);
      this.#settleEclipse(slices);
      this.#advise(owner, slices, elsewhere);
    }
    this.#touched.clear();
    const before = this.#before;
    this.#before = new Map();
    return before;
  }

  /** Slices that give way first, in the order of the files. */
  *problems(): Generator<Problem> {
    const advice = [...this.#advice.values()].sort((a, b) => inOrder(a.first, b.first));
    for (const { eclipsed } of advice) yield* eclipsed;
    for (const { problems } of advice) yield* problems;
  }

  #note(key: string): void {
    if (!this.#before.has(key)) this.#before.set(key, this.inForce(key));
  }

  #join(key: string, object: ApiObject): void {
    if (object.kind === 'Service') this.#touched.add(objectPath(object));
    if (object.kind !== 'EndpointSlice') return;
    const owner = ownerPath(object);
    this.#touched.add(owner);
    const known = this.#slices.get(owner);
    if (known === undefined) this.#slices.set(owner, key);
    else if (typeof known === 'string') this.#slices.set(owner, new Set([known, key]));
    else known.add(key);
  }

  #leave(key: string, object: ApiObject): void {
    if (object.kind === 'Service') this.#touched.add(objectPath(object));
    if (object.kind !== 'EndpointSlice') return;
    const owner = ownerPath(object);
    this.#touched.add(owner);
    const known = this.#slices.get(owner);
    if (known instanceof Set) known.delete(key);
    if (known === key || (known instanceof Set && known.size === 0)) this.#slices.delete(owner);
  }

  /** In the order of the files. */
  #slicesOf(owner: string): readonly TakenSlice[] {
    const keys = this.#slices.get(owner);
    if (keys === undefined) return [];
    const taken = Array.from(typeof keys === 'string' ? [keys] : keys, (key) => this.#taken.get(key));
    return taken.filter(isSlice).sort((a, b) => inOrder(a.entry, b.entry));
  }

  /** Slices of Endpoints go where the Service has EndpointSlices too: those say more, and both would count twice. */
  #settleEclipse(slices: readonly TakenSlice[]): void {
    const isServed = slices.some(({ entry }) => entry.madeOf === undefined);
    for (const { entry } of slices) {
      const { key } = entry;
      const givesWay = isServed && entry.madeOf !== undefined;
      if (givesWay === this.#eclipsed.has(key)) continue;
      this.#note(key);
      if (givesWay) this.#eclipsed.add(key);
      else this.#eclipsed.delete(key);
    }
  }

  #advise(owner: string, all: readonly TakenSlice[], elsewhere: (name: string) => readonly string[]): void {
    const service = this.#taken.get(`Service ${owner}`);
    const slices = all.filter(({ entry }) => !this.#eclipsed.has(entry.key));
    if (service === undefined && slices.length > 0) this.#orphaned.add(owner);
    else this.#orphaned.delete(owner);
    const eclipsed = eclipsedProblems(
      all.filter(({ entry }) => this.#eclipsed.has(entry.key)),
      slices.at(-1)?.object.name,
    );
    const placedSlices = slices.map(({ object, where, entry }) => ({
      object,
      where,
      subject: entry.madeOf ?? entry.key,
    }));
    const placed =
      service?.object.kind === 'Service'
        ? { object: service.object, where: service.where, subject: service.entry.key }
        : undefined;
    const problems = [...adviceOn(placed, placedSlices, elsewhere)];
    const first = service?.entry ?? all[0]?.entry;
    if (first === undefined || (problems.length === 0 && eclipsed.length === 0)) this.#advice.delete(owner);
    else this.#advice.set(owner, { first, eclipsed, problems });
  }

  /** What is said of a slice without its Service names another one of the name, which may have come or gone. */
  #touchOrphans(): void {
    if (this.#orphaned.size === 0) return;
    const names = new Set<string>();
    for (const owner of this.#touched) names.add(nameIn(owner));
    for (const owner of this.#orphaned) if (names.has(nameIn(owner))) this.#touched.add(owner);
  }

  /** Names of Services → their namespaces; looked up when somebody asks. */
  #namespaces(): (name: string) => readonly string[] {
    let found: Map<string, string[]> | undefined;
    return (name) => {
      found ??= namespacesOf(this.#taken.values());
      return found.get(name) ?? [];
    };
  }
}

/** `winner`: the slice that counts instead. */
function eclipsedProblems(slices: readonly TakenSlice[], winner: string | undefined): readonly Problem[] {
  const told = new Map<string, Problem>();
  for (const { object, where, entry } of slices) {
    const subject = entry.madeOf ?? entry.key;
    if (told.has(subject)) continue;
    const message = `is left out: EndpointSlice ${object.namespace}/${winner} is for the same Service, and EndpointSlices win`;
    told.set(subject, { subject, message, where });
  }
  return [...told.values()];
}

function namespacesOf(taken: Iterable<Taken>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { object } of [...taken].sort((a, b) => inOrder(a.entry, b.entry))) {
    if (object.kind !== 'Service') continue;
    const known = found.get(object.name);
    if (known) known.push(object.namespace);
    else found.set(object.name, [object.namespace]);
  }
  return found;
}

function isSlice(taken: Taken | undefined): taken is TakenSlice {
  return taken?.object.kind === 'EndpointSlice';
}

function nameIn(path: string): string {
  return path.slice(path.indexOf('/') + 1);
}
