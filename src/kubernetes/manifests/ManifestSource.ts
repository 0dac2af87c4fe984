/**
 * A file or a folder of manifests as a source of objects.
 *
 * Every change leads to the same step: look at all files by stat, read those that differ, and deliver the difference
 * between what they say and what was delivered. A step is due shortly after an event in a folder and, since events get
 * lost, every few seconds.
 */
import { append } from '../../append.js';
import { messageOf } from '../../errors.js';
import type { ObjectChange } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import { type Clock, systemClock } from '../../time/Clock.js';
import type { ObjectSource, SourceListener } from '../ObjectSource.js';
import { FolderWatches } from './FolderWatches.js';
import {
  type FoundFile,
  findManifests,
  GONE,
  placeOf,
  placesAround,
  type Unreadable,
} from './findManifests.js';
import { ManifestSet } from './ManifestSet.js';
import { manifestsMissing, manifestsUnusable } from './manifestErrors.js';
import type { IsOther } from './otherGroups.js';
import { type ManifestRead, readManifest } from './readManifest.js';
import { Seniority } from './Seniority.js';

export interface ManifestTiming {
  /** Milliseconds from an event to the look at the files; also how long a file must have been left alone. */
  readonly settle: number;
  /** Milliseconds between two looks without any event. */
  readonly rescan: number;
}

const DEFAULT_TIMING: ManifestTiming = { settle: 50, rescan: 2000 };

/** The looks without any event take at most this share of the time, however many files there are. */
const LARGEST_SHARE = 1 / 20;

const OUR_FAULT = 'this is a fault of penstock; please report it';

/** Stands for the stamp of a file that has to be read again. */
const STALE = '';

export class ManifestSource implements ObjectSource {
  readonly name: string;

  readonly #path: string;
  readonly #timing: ManifestTiming;
  readonly #set: ManifestSet;
  /** Its date is what the file system takes its times from. */
  readonly #clock: Clock;
  readonly #seniority: Seniority;
  /** The stamp of each file as it was last read. */
  readonly #stamps = new Map<string, string>();
  readonly #watches = new FolderWatches(() => this.#lookWithin(this.#timing.settle));
  /** undefined before the first delivery and after the stop. */
  #listener: SourceListener | undefined;
  #stopped = false;
  /** The objects of other groups last reported, as JSON. */
  #reportedOthers = '[]';
  /** What the set said last; why the last look failed, if it did; and what of both was reported, as JSON. */
  #problems: readonly Problem[] = [];
  #failure: Problem | undefined;
  #reported = '[]';
  /** Changes that the listener failed at come again, before later ones. */
  #undelivered: ObjectChange[] = [];
  #cancel: () => void = () => {};
  /** When the next look is due, on the clock. */
  #due = Number.POSITIVE_INFINITY;
  #looking: Promise<void> | undefined;

  /** `isOther`: of whoever wants other objects than the agent does. */
  constructor(
    path: string,
    timing: ManifestTiming = DEFAULT_TIMING,
    clock: Clock = systemClock,
    isOther?: IsOther,
  ) {
    this.#set = new ManifestSet(isOther);
    this.name = `manifests ${path}`;
    this.#path = path;
    this.#timing = timing;
    this.#clock = clock;
    this.#seniority = new Seniority(() => clock.date());
  }

  /** Delivers everything that is there. Rejects with PenstockError when there is nothing that can be read. */
  async start(listener: SourceListener): Promise<void> {
    const found = await findManifests(this.#path);
    if (found === GONE) throw manifestsMissing(this.#path);
    const lost: string[] = [];
    for (const file of found.files) {
      const fault = await this.#readFirst(file);
      if (fault !== undefined) lost.push(`${file.path} ${fault}`);
    }
    const error = manifestsUnusable(this.#path, found, lost);
    if (error) throw error;
    if (this.#stopped) return;
    this.#listener = listener;
    this.#publish(found.unreadable);
    this.#listener?.complete();
    if (!this.#listener) return;
    this.#watches.follow(found.folders);
    // For what happened before there were watches.
    this.#lookWithin(this.#timing.settle);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#listener = undefined;
    this.#cancel();
    this.#watches.close();
    await this.#looking;
  }

  #lookWithin(milliseconds: number): void {
    const due = this.#clock.now() + milliseconds;
    if (!this.#listener || due >= this.#due) return;
    this.#due = due;
    if (!this.#looking) this.#setTimer();
  }

  #setTimer(): void {
    const clock = this.#clock;
    this.#cancel();
    this.#cancel = clock.after(Math.max(0, this.#due - clock.now()), () => this.#begin());
  }

  #begin(): void {
    const clock = this.#clock;
    this.#due = Number.POSITIVE_INFINITY;
    const started = clock.now();
    this.#looking = this.#look()
      .catch((error) => this.#failed(error))
      .finally(() => {
        this.#looking = undefined;
        const now = clock.now();
        // Events during the look may have asked for an earlier one.
        this.#due = Math.min(this.#due, now + Math.max(this.#timing.rescan, (now - started) / LARGEST_SHARE));
        if (this.#listener) this.#setTimer();
      });
  }

  /** What was delivered before stays; the next look tries again. */
  #failed(error: unknown): void {
    const message = `could not be looked at: ${messageOf(error)}; what was read before stays in force (${OUR_FAULT})`;
    this.#failure = { subject: this.name, message };
    try {
      this.#report();
    } catch {
      // It is the listener that fails: it hears of it when it works again.
    }
  }

  async #look(): Promise<void> {
    const found = await findManifests(this.#path);
    if (!this.#listener) return;
    if (found === GONE) {
      // More often an unmounted volume than the wish to have no Services at all.
      const message = 'no longer exists; create it again, or leave it empty to remove its objects';
      this.#publish([{ path: this.#path, message }]);
      return;
    }
    // What happened in a new folder before it was watched went unseen.
    if (this.#watches.follow(found.folders)) this.#lookWithin(this.#timing.settle);
    this.#forgetAllBut(found.files, found.unreadable);
    for (const file of found.files) {
      if (this.#stamps.get(file.path) !== file.stamp) await this.#readChanged(file);
    }
    this.#publish(found.unreadable);
  }

  #forgetAllBut(files: readonly FoundFile[], unreadable: readonly Unreadable[]): void {
    const present = new Set(files.map((file) => file.path));
    const hidden = new Set(unreadable.map(({ path }) => placeOf(path)));
    const isHidden = (path: string) =>
      hidden.size > 0 && [...placesAround(path)].some((place) => hidden.has(place));
    for (const path of this.#stamps.keys()) {
      if (present.has(path) || isHidden(path)) continue;
      this.#stamps.delete(path);
      this.#set.remove(path);
    }
  }

  /** Takes the file as it is, since there is no earlier content to fall back on. Answers why it cannot be read. */
  async #readFirst(file: FoundFile): Promise<string | undefined> {
    const read = await readManifest(file);
    if (read.type === 'gone') return undefined;
    const final = read.type !== 'unreadable' && !this.#isFresh(file);
    this.#take(file.path, read, this.#seniority.ofFound(file.since));
    this.#stamps.set(file.path, final ? file.stamp : STALE);
    return read.type === 'unreadable' ? read.fault.message : undefined;
  }

  /** A file that is being written is left for later: half a file may well parse. */
  async #readChanged(file: FoundFile): Promise<void> {
    if (this.#isFresh(file)) return this.#lookWithin(this.#timing.settle);
    const read = await readManifest(file);
    if (read.type === 'gone' || !read.steady) return this.#lookWithin(this.#timing.settle);
    this.#take(file.path, read, this.#seniority.ofNew());
    this.#stamps.set(file.path, read.type === 'unreadable' ? STALE : file.stamp);
  }

  /** One file that we fail at must not keep the others from being read. */
  #take(path: string, read: Exclude<ManifestRead, { type: 'gone' }>, since: number): void {
    if (read.type !== 'objects') {
      this.#set.keep(path, read.fault);
      return;
    }
    try {
      this.#set.replace(path, read.objects, since);
    } catch (error) {
      this.#set.keep(path, {
        line: undefined,
        message: `cannot be used: ${messageOf(error)} (${OUR_FAULT})`,
      });
    }
  }

  /** A time in the future is that of another clock and says nothing. */
  #isFresh(file: FoundFile): boolean {
    const age = this.#clock.date() - file.modified;
    return age >= 0 && age < this.#timing.settle;
  }

  #publish(unreadable: readonly Unreadable[]): void {
    if (!this.#listener) return;
    const { changes, problems } = this.#set.update(unreadable);
    this.#problems = problems;
    this.#failure = undefined;
    append(this.#undelivered, changes);
    if (this.#undelivered.length > 0) this.#listener.changes(this.#undelivered);
    this.#undelivered = [];
    const others = this.#set.others();
    const otherText = JSON.stringify(others);
    if (otherText !== this.#reportedOthers) {
      this.#listener?.others?.(others);
      this.#reportedOthers = otherText;
    }
    this.#report();
  }

  /** Tells the problems when they are others than those told last. */
  #report(): void {
    const problems = this.#failure ? [...this.#problems, this.#failure] : this.#problems;
    const report = JSON.stringify(problems);
    if (report === this.#reported) return;
    this.#listener?.problems(problems);
    this.#reported = report;
  }
}
