/** One after the other, as often as they have slots. Who may not be picked is passed over. */
import { fromPlace } from './fromPlace.js';
import type { Pick } from './Moment.js';

/** `slots` are indexes of endpoints. */
export function roundRobin(slots: readonly number[]): Pick {
  return ({ eligible, turn }) => fromPlace(slots, eligible, turn % slots.length);
}
