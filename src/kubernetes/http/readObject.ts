/** One object of an API server, once, within bounds of time and size. */
import { messageOf, PenstockError } from '../../errors.js';
import type { ApiTransport } from './ApiTransport.js';

const READ_TIMEOUT_MS = 5000;
/** No object is larger (etcd takes 1.5 MB at most, Secrets have 1 MiB). */
const MOST_BYTES = 3 << 19;

/** Undefined: there is none. Rejects when the server does not answer with an object. `what`: `Secret default/key`. */
export async function readObject(
  api: Pick<ApiTransport, 'get'>,
  path: string,
  what: string,
  remedy: string,
): Promise<unknown> {
  const unusable = (why: string) =>
    new PenstockError('PENSTOCK_API_BROKEN', `${what} cannot be read: ${why}`, { remedy });
  const response = await api.get(path, AbortSignal.timeout(READ_TIMEOUT_MS));
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MOST_BYTES) throw unusable('the answer is longer than an object can be');
  }
  if (response.status === 404) return undefined;
  if (response.status !== 200) throw unusable(`the API server answered ${response.status}`);
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch (error) {
    throw unusable(messageOf(error));
  }
}
