/** Memory for time, in a command that reads a whole cluster and ends. */
import { setFlagsFromString } from 'node:v8';

/**
 * bin/penstock asks V8 for a small heap, as an agent needs it: it is then collected whenever it has grown by a third. A command
 * that keeps 50,000 Services for a few seconds would spend half of its time on that.
 */
export function freeHeap(): void {
  setFlagsFromString('--no-optimize-for-size');
}
