/** The API server answered, and not with what was asked for: an HTTP status, or a Status object within a watch. */
import { PenstockError } from '../../errors.js';
import { printable } from '../../net/printable.js';
import { isRawObject } from '../../objects/read/FieldReader.js';

/** Milliseconds; a server that asks for more is asked again sooner. */
const LONGEST_RETRY_AFTER = 300_000;

const REMEDIES: Readonly<Record<number, string>> = {
  401: 'The API server does not accept the credentials: check the token or client certificate, and its expiry.',
  403: 'Give the account list and watch on services, nodes, endpointslices and servicecidrs (ClusterRole system:node-proxier).',
  404: 'Check that the server is a Kubernetes API server that has this API.',
};

export class ApiError extends PenstockError {
  /** As in HTTP: 410, 429, 500. */
  readonly status: number;
  /** Milliseconds that the server asked to wait; 0 when it did not. */
  readonly retryAfterMs: number;

  constructor(status: number, message: string, retryAfterMs: number) {
    const remedy = REMEDIES[status];
    super('PENSTOCK_API_REFUSED', `HTTP ${status}: ${message}`, remedy === undefined ? {} : { remedy });
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  static fromBody(status: number, body: string, retryAfter: string | undefined): ApiError {
    const message = statusMessage(body) ?? (oneLine(body) || 'no explanation');
    return new ApiError(status, message, readRetryAfter(retryAfter));
  }

  /** The `object` of an ERROR event. */
  static fromStatus(status: unknown): ApiError {
    const { code, message, details } = isRawObject(status) ? status : {};
    const seconds = isRawObject(details) ? details.retryAfterSeconds : undefined;
    return new ApiError(
      typeof code === 'number' ? code : 500,
      typeof message === 'string' ? oneLine(message) : 'an error event without a message',
      readRetryAfter(seconds === undefined ? undefined : String(seconds)),
    );
  }
}

function statusMessage(body: string): string | undefined {
  try {
    const status: unknown = JSON.parse(body);
    return isRawObject(status) && typeof status.message === 'string' ? oneLine(status.message) : undefined;
  } catch {
    return undefined;
  }
}

function oneLine(text: string): string {
  return printable(text.slice(0, 2000).replace(/\s+/g, ' ').trim()).slice(0, 300);
}

/** Seconds only: API servers send no dates there. */
export function readRetryAfter(text: string | undefined): number {
  const seconds = Number(text ?? '0');
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, LONGEST_RETRY_AFTER) : 0;
}
