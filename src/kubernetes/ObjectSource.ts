/**
 * A source of objects: the API server, or a folder of manifests. Nothing above this interface knows which.
 */
import type { ObjectChange } from '../objects/ApiObject.js';
import type { Problem } from '../objects/Problem.js';

export interface SourceListener {
  /** Changes that belong together, to be applied in order. Only real changes: an equal object is not sent again. */
  changes(batch: readonly ObjectChange[]): void;
  /** Everything that existed at the start has been delivered. Called once, after the changes it speaks of. */
  complete(): void;
  /** Every problem the source has now; called when the list differs from the last one. */
  problems(list: readonly Problem[]): void;
}

export interface ObjectSource {
  /** For logs: `manifests /etc/penstock`. */
  readonly name: string;
  /** Begins to deliver. Rejects only when the source can never work, for example a path that does not exist. */
  start(listener: SourceListener): Promise<void>;
  /** No call reaches the listener after this. */
  stop(): Promise<void>;
}
