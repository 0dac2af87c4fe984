/** Long work in turns, so that the event loop is never held up by what somebody asks for. */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Milliseconds. */
const TURN = 2;

/** What a test may put in its place. */
export type TakesTurns = Pick<WorkTurns, 'isOver' | 'next'>;

export class WorkTurns {
  #end = performance.now() + TURN;

  isOver(): boolean {
    return performance.now() >= this.#end;
  }

  /** Lets others go first. */
  async next(): Promise<void> {
    await nextTurn();
    this.#end = performance.now() + TURN;
  }
}
