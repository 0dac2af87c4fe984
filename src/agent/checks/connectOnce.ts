/** A connection to an endpoint that is closed again as soon as it stands. */

import { connect as connectTcp } from 'node:net';
import type { Clock } from '../../time/Clock.js';
import { formatDuration } from '../../time/duration.js';
import type { Connect } from './EndpointCheck.js';

/** With a reset: neither side keeps the connection in TIME_WAIT, however often it is checked. */
export const connectOnce =
  (clock: Clock): Connect =>
  (host, port, timeout) =>
    new Promise((resolve) => {
      const socket = connectTcp({ host, port });
      const end = (why: string | undefined) => {
        cancel();
        // A reset would wait for a connection that does not come, for as long as the kernel tries: two minutes.
        if (socket.connecting) socket.destroy();
        else socket.resetAndDestroy();
        resolve(why);
      };
      const cancel = clock.after(timeout, () => end(`no answer within ${formatDuration(timeout)}`));
      socket.once('connect', () => end(undefined));
      socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    });

/** At most so many at once; others wait for their turn. Descriptors are for clients too. */
export function limited(connect: Connect, most: number): Connect {
  let open = 0;
  const waiting: (() => void)[] = [];
  return async (...target) => {
    if (open >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    else open++;
    try {
      return await connect(...target);
    } finally {
      const next = waiting.shift();
      if (next === undefined) open--;
      else next();
    }
  };
}
