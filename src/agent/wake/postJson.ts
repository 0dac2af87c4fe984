/** Tells a program elsewhere something, by a POST of JSON. */
import type { Clock } from '../../time/Clock.js';
import { formatDuration } from '../../time/duration.js';

export type Post = (url: string, body: unknown) => Promise<string | undefined>;

const TIMEOUT_MS = 5000;

/** Resolves to undefined when it was taken (status 2xx), else to why not. Never rejects. Redirections are not followed. */
export const postJson =
  (clock: Clock): Post =>
  async (url, body) => {
    // Most agents never need it.
    const { request: begin } = url.startsWith('https:')
      ? await import('node:https')
      : await import('node:http');
    return new Promise((resolve) => {
      const content = JSON.stringify(body);
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) };
      const request = begin(url, { method: 'POST', agent: false, headers });
      const end = (why: string | undefined) => {
        cancel();
        request.destroy();
        resolve(why);
      };
      const cancel = clock.after(TIMEOUT_MS, () => end(`no answer within ${formatDuration(TIMEOUT_MS)}`));
      request.on('response', ({ statusCode = 0 }) =>
        end(statusCode >= 200 && statusCode < 300 ? undefined : `it answers ${statusCode}`),
      );
      request.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
      request.end(content);
    });
  };
