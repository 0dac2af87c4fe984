/** One object of an API server, once, within bounds of time and size. */

import { messageOf, PenstockError } from '../../errors.js';
import type { Clock } from '../../time/Clock.js';
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
  clock: Clock,
): Promise<unknown> {
  const unusable = (why: string) =>
    new PenstockError('PENSTOCK_API_BROKEN', `${what} cannot be read: ${why}`, { remedy });
  const late = new AbortController();
  const cancel = clock.after(READ_TIMEOUT_MS, () =>
    late.abort(unusable(`no answer within ${READ_TIMEOUT_MS / 1000} s`)),
  );
  try {
    const { status, body } = await api.get(path, late.signal);
    const text = await textOf(body, () => unusable('the answer is longer than an object can be'));
    if (status === 404) return undefined;
    if (status !== 200) throw unusable(`the API server answered ${status}`);
    return parse(text, unusable);
  } finally {
    cancel();
  }
}

async function textOf(body: AsyncIterable<Uint8Array>, tooLong: () => Error): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MOST_BYTES) throw tooLong();
  }
  return Buffer.concat(chunks).toString();
}

function parse(text: string, unusable: (why: string) => Error): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw unusable(messageOf(error));
  }
}
