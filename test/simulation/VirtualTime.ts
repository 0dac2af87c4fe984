/**
 * Time of one process that passes only when nothing is left to do. It takes the place of Node's timers and clocks, so that
 * nothing escapes it, whoever asks: what is set and not cleared at the end is known.
 */

import { createRequire, syncBuiltinESMExports } from 'node:module';
import { performance } from 'node:perf_hooks';
import type { Clock } from '../../src/time/Clock.js';

interface Timer {
  at: number;
  readonly order: number;
  readonly every: number | undefined;
  readonly action: () => void;
  /** Whose it is: an agent that was killed has none any more. */
  readonly owner: number;
  isLive: boolean;
}

/** Owner of what outlives every process. */
const NOBODY = -1;
const EPOCH = Date.UTC(2030, 0, 1);

export class VirtualTime implements Clock {
  #now = 0;
  #order = 0;
  #heap: Timer[] = [];
  readonly #dead = new Set<number>();
  #lastOwner = 0;
  /** The first timer that was not set here: where. */
  stray: string | undefined;
  /** What is set belongs to this process. */
  owner = 0;

  now(): number {
    return this.#now;
  }

  date(): number {
    return EPOCH + Math.floor(this.#now);
  }

  after(milliseconds: number, action: () => void): () => void {
    return this.#cancelOf(this.set(milliseconds, action));
  }

  /** Belongs to no process of the node. */
  afterForAll(milliseconds: number, action: () => void): () => void {
    return this.#cancelOf(this.set(milliseconds, action, undefined, NOBODY));
  }

  #cancelOf(timer: Timer): () => void {
    return () => {
      timer.isLive = false;
    };
  }

  set(milliseconds: number, action: () => void, every?: number, owner = this.owner): Timer {
    const at = this.#now + Math.max(0, Number.isFinite(milliseconds) ? milliseconds : 0);
    const timer: Timer = { at, order: ++this.#order, every, action, owner, isLive: !this.#dead.has(owner) };
    push(this.#heap, timer);
    return timer;
  }

  /** A process begins: what is set from now on is its own. */
  begin(): number {
    this.owner = ++this.#lastOwner;
    return this.owner;
  }

  /** Timers of a process that are set, in milliseconds from now. */
  pending(owner: number): readonly number[] {
    return this.#heap
      .filter((timer) => timer.isLive && timer.owner === owner)
      .map(({ at }) => at - this.#now);
  }

  /** Whatever a process has set will not come. */
  kill(owner: number): void {
    this.#dead.add(owner);
    for (const timer of this.#heap) if (timer.owner === owner) timer.isLive = false;
  }

  /** Lets so much time pass, timer by timer, each followed by whatever comes of it. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await turn();
    for (let next = this.#take(end); next !== undefined; next = this.#take(end)) {
      this.#now = Math.max(this.#now, next.at);
      next.action();
      await turn();
    }
    this.#now = end;
  }

  #take(end: number): Timer | undefined {
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      pop(this.#heap);
      if (!next.isLive) continue;
      if (next.every === undefined) next.isLive = false;
      else {
        next.at = next.at + Math.max(1, next.every);
        push(this.#heap, next);
      }
      return next;
    }
    return undefined;
  }
}

/**
 * After all promises that depend on nothing but each other have settled: Node runs the queue of ticks only when that of promises
 * is empty. Twice, for who waits for a tick himself. A turn of the event loop would do too, and costs ten times as much.
 */
function turn(): Promise<void> {
  return new Promise((resolve) =>
    process.nextTick(() => void Promise.resolve().then(() => process.nextTick(resolve))),
  );
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function push(heap: Timer[], timer: Timer): void {
  let at = heap.length;
  heap.push(timer);
  while (at > 0) {
    const up = (at - 1) >> 1;
    const parent = heap[up] as Timer;
    if (isBefore(parent, timer)) break;
    heap[at] = parent;
    at = up;
  }
  heap[at] = timer;
}

function pop(heap: Timer[]): void {
  const last = heap.pop() as Timer;
  if (heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1] as Timer, heap[child] as Timer)) child++;
    if (isBefore(last, heap[child] as Timer)) break;
    heap[at] = heap[child] as Timer;
    at = child;
  }
  heap[at] = last;
}

/** What the virtual setTimeout returns. */
class Handle {
  readonly timer: Timer;

  constructor(timer: Timer) {
    this.timer = timer;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }

  refresh(): this {
    return this;
  }
}

/** From now on there is no other time in this process than `present()`. */
export function takeOverTime(present: () => VirtualTime): void {
  const clear = (handle: unknown): void => {
    if (handle instanceof Handle) handle.timer.isLive = false;
  };
  const stray = () => {
    present().stray ??= new Error('a timer beside the injected clock').stack;
  };
  const set = (action: (...args: unknown[]) => void, milliseconds = 0, ...args: unknown[]) => {
    stray();
    return new Handle(present().set(milliseconds, () => action(...args)));
  };
  const setEvery = (action: (...args: unknown[]) => void, milliseconds = 0, ...args: unknown[]) => {
    stray();
    return new Handle(present().set(milliseconds, () => action(...args), milliseconds));
  };
  const setSoon = (action: (...args: unknown[]) => void, ...args: unknown[]) =>
    new Handle(present().set(0, () => action(...args)));
  Object.assign(globalThis, {
    setTimeout: set,
    clearTimeout: clear,
    setInterval: setEvery,
    clearInterval: clear,
    setImmediate: setSoon,
    clearImmediate: clear,
  });
  Object.defineProperty(performance, 'now', { configurable: true, value: () => present().now() });
  Date.now = () => present().date();
  const promises = createRequire(import.meta.url)('node:timers/promises') as { setTimeout: unknown };
  promises.setTimeout = (milliseconds = 0) => {
    stray();
    return new Promise<void>((resolve) => present().set(milliseconds, resolve));
  };
  syncBuiltinESMExports();
}
