/**
 * How V8 weighs memory against time. bin/penstock asks it for a small heap (--optimize-for-size), as an agent on every node needs it:
 * the heap is collected whenever it has grown a little. Where much is built at once, up to half of the time would go there.
 */
import { setFlagsFromString } from 'node:v8';

export interface Heap {
  /** While much is built that stays. */
  grow(): void;
  /** From then on as at the start of the process. */
  keepSmall(): void;
}

/** Percent that the heap grows by from one collection to the next; 0: V8 decides. */
const GROWTH = 20;

/** Memory for time, in a command that reads a whole cluster and ends. */
export function freeHeap(): void {
  setFlagsFromString('--no-optimize-for-size');
}

export const heap: Heap = {
  grow() {
    freeHeap();
    setFlagsFromString(`--heap-growing-percent=${GROWTH}`);
  },
  keepSmall() {
    setFlagsFromString('--optimize-for-size');
    setFlagsFromString('--heap-growing-percent=0');
  },
};
