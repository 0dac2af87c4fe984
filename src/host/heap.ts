/**
 * How V8 weighs memory, and the work of its compilers, against time. An agent has a small heap (--optimize-for-size), as it is on every
 * node: the heap is collected whenever it has grown a little. Where much is built at once, up to half of the time would go there. The young generation stays as large
 * as it is when the program is loaded (bin/limitYoung.js).
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { nativeAddon } from '../kernel/addon/nativeAddon.js';
import type { Clock } from '../time/Clock.js';

export interface Heap {
  /** While much is built that stays. */
  grow(): void;
  /** From then on as at the start of the process. */
  keepSmall(): void;
  /** From now on what runs again and again is compiled for good after a tenth of the runs that V8 waits for, or fewer. */
  compileSoon(): void;
  /** What the start alone needed: garbage, free memory of malloc, pages of programs. Takes as long as a full collection. */
  giveBack(): void;
}

/** Percent that the heap grows by from one collection to the next; 0: V8 decides. */
const GROWTH = 20;
/** V8 compiles what has run thousands of times. What a change takes runs once a change: the first 2,000 were slow. It costs 2 MB. */
const COMPILE_SOON =
  Number.parseInt(process.versions.v8, 10) < 12
    ? ['--interrupt-budget=2500']
    : [
        '--invocation-count-for-maglev=40',
        '--invocation-count-for-turbofan=300',
        '--minimum-invocations-after-ic-update=50',
      ];
/** From the first sync on: it has ended then, with all that follows it at once. */
const GIVE_BACK_MS = 2000;

/** Memory for time, in a command that reads a whole cluster and ends. */
export function freeHeap(): void {
  setFlagsFromString('--no-optimize-for-size');
}

export const heap: Heap = {
  grow() {
    freeHeap();
    setFlagsFromString('--semi-space-growth-factor=1');
    setFlagsFromString(`--heap-growing-percent=${GROWTH}`);
  },
  keepSmall() {
    setFlagsFromString('--optimize-for-size');
    setFlagsFromString('--heap-growing-percent=0');
  },
  compileSoon() {
    for (const flag of COMPILE_SOON) setFlagsFromString(flag);
  },
  giveBack() {
    collect();
    nativeAddon().giveBackMemory();
  },
};

/**
 * Gives back when nothing presses any more. Twice: V8 moves together what is left only in the second collection of a quiet heap, and
 * frees memory of buffers after a collection, in another thread. Returns how to cancel it.
 */
export function giveBackSoon({ giveBack }: Pick<Heap, 'giveBack'>, clock: Clock): () => void {
  const works = () => {
    try {
      giveBack();
      return true;
    } catch {
      // A Node.js or an addon that cannot: memory is what it costs, and no more.
      return false;
    }
  };
  let cancel = clock.after(GIVE_BACK_MS, () => {
    if (works()) cancel = clock.after(GIVE_BACK_MS, works);
  });
  return () => cancel();
}

/** V8 gives its function to contexts that are made while the flag is set; ours stays without. */
function collect(): void {
  setFlagsFromString('--expose-gc');
  const gc: () => void = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  gc();
}
