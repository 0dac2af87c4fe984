/** What a kernel refuses because of what it has to do or to spare just now, whoever asks. */
import type { Milliseconds } from '../../time/duration.js';

const CODES: ReadonlySet<unknown> = new Set([
  'EAGAIN',
  'EBUSY',
  'EINTR',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'ETIMEDOUT',
]);

/** Until a Service is tried again that was refused so; it doubles, since one Service may want more than there ever is. */
export const MOMENTARY_RETRY_MS: Milliseconds = 30_000;

export function isMomentary(error: Error): boolean {
  return 'code' in error && CODES.has(error.code);
}
