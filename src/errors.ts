/**
 * Errors that a person reads: a stable code, what happened, and what to do about it.
 */
export class PenstockError extends Error {
  /** Stable, for tests and searches: `PENSTOCK_CONFIG_INVALID`. */
  readonly code: string;
  /** What the reader can do, in one sentence; undefined when there is nothing to do. */
  readonly remedy: string | undefined;

  constructor(code: string, message: string, options: { cause?: unknown; remedy?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'PenstockError';
    this.code = code;
    this.remedy = options.remedy;
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
