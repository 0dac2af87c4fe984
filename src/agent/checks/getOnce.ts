/** A GET of /healthz, as load balancers ask health-check node ports (Kubernetes, spec.healthCheckNodePort). */
import { get } from 'node:http';
import type { Clock } from '../../time/Clock.js';
import { formatDuration } from '../../time/duration.js';
import type { Connect } from './EndpointCheck.js';

/** Passes with status 200 and nothing else. The connection is not kept, and no more than the head of the answer is read. */
export const getOnce =
  (clock: Clock): Connect =>
  (host, port, timeout) =>
    new Promise((resolve) => {
      const request = get({ host, port, path: '/healthz', agent: false, headers: { connection: 'close' } });
      const end = (why: string | undefined) => {
        cancel();
        request.destroy();
        resolve(why);
      };
      const cancel = clock.after(timeout, () => end(`no answer within ${formatDuration(timeout)}`));
      request.on('response', ({ statusCode }) =>
        end(statusCode === 200 ? undefined : `answers ${statusCode}`),
      );
      request.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    });
