/** GET requests to an API server. Nothing above knows how they travel. */
import { messageOf, PenstockError } from '../../errors.js';
import { ApiError } from './ApiError.js';

export interface ApiResponse {
  readonly status: number;
  /** The header Retry-After, as sent. */
  readonly retryAfter: string | undefined;
  /** Throws when the connection breaks or the signal of the request aborts. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface ApiTransport {
  /** For messages: `https://10.0.0.1:6443`. */
  readonly server: string;
  /** `path` begins with / and includes the query. Rejects when there is no answer. */
  get(path: string, signal: AbortSignal): Promise<ApiResponse>;
  close(): Promise<void>;
}

/** Bytes of an error body that are read; a Status is far shorter. */
const LONGEST_STATUS = 65_536;

/** The body of a good answer. Rejects with ApiError for any other status. */
export async function getBody(
  transport: ApiTransport,
  path: string,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const response = await transport.get(path, signal);
  if (response.status === 200) return response.body;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > LONGEST_STATUS) break;
  }
  throw ApiError.fromBody(response.status, Buffer.concat(chunks).toString(), response.retryAfter);
}

/** For a body that ended with an error. `what`: `the watch of Services`. */
export function broken(what: string, error: unknown): PenstockError {
  return new PenstockError('PENSTOCK_API_BROKEN', `${what} broke off: ${messageOf(error)}`, {
    cause: error,
    remedy: 'Check that the API server runs, and the network between it and this node.',
  });
}
