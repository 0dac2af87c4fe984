/**
 * A source of objects: the API server, or a folder of manifests. Nothing above this interface knows which.
 */
import type { ObjectChange } from '../objects/ApiObject.js';
import type { Problem } from '../objects/Problem.js';

/** An object that is none of the routing table's: of a group that somebody else may know. */
export interface OtherObject {
  readonly id: string;
  readonly raw: unknown;
  /** File and, where known, line. */
  readonly where: string;
}

export interface SourceListener {
  /** Changes that belong together, to be applied in order. Only real changes: an equal object is not sent again. */
  changes(batch: readonly ObjectChange[]): void;
  /**
   * Manifests of groups penstock.io and metallb.io, or those that the source was told to keep: the whole list, when it differs from the
   * last one.
   */
  others?(list: readonly OtherObject[]): void;
  /** Everything that existed at the start has been delivered. Called once, after the changes it speaks of. */
  complete(): void;
  /** Every problem the source has now; called when the list differs from the last one. */
  problems(list: readonly Problem[]): void;
}

/** How a source hears of one kind of object. Times are milliseconds until now. */
export interface SourceContact {
  /** As in the API: `endpointslices`. */
  readonly resource: string;
  /** Everything has been read once. */
  readonly complete: boolean;
  readonly connected: boolean;
  /** For how long `connected` has been what it is. */
  readonly forMs: number;
  /** Since anything was heard; undefined: never yet. */
  readonly silentForMs: number | undefined;
  /** What the last failure said; undefined while there is none. */
  readonly reason: string | undefined;
  /** How often everything was read again after the first time. */
  readonly relists: number;
  /** Watches that the server ended, as it does every few minutes. */
  readonly watchesEnded: number;
  /** Watches that broke, fell silent or were refused. */
  readonly watchesFailed: number;
}

export interface ObjectSource {
  /** For logs: `manifests /etc/penstock`. */
  readonly name: string;
  /** Begins to deliver. Rejects only when the source can never work, for example a path that does not exist. */
  start(listener: SourceListener): Promise<void>;
  /** One for each kind of object that comes from afar; a source without is always up to date. */
  contacts?(): readonly SourceContact[];
  /** No call reaches the listener after this. */
  stop(): Promise<void>;
}
