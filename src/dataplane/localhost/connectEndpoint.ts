/** TCP to an endpoint. The kernel's route picks the source address: the node's own, as by masquerade. */

import { connect, type Socket } from 'node:net';
import type { Endpoint } from '../../routing/ServicePort.js';
import type { Clock } from '../../time/Clock.js';

/** Milliseconds that an endpoint has to accept. The kernel repeats a lost SYN only after one second. */
const CONNECT_TIMEOUT_MS = 1000;
/**
 * Milliseconds of silence before the kernel asks whether the endpoint is still there. Its node may have vanished without
 * a word, and the client's own probes end at us.
 */
const KEEP_ALIVE_MS = 60_000;

/**
 * Resolves to the connected socket, or undefined when there is none: refused, unreachable, silent for too long, or
 * destroyed meanwhile. `opened` gets the socket before it is connected. It has a listener for 'error'.
 */
export function connectEndpoint(
  { address, port }: Endpoint,
  clock: Clock,
  opened: (socket: Socket) => void,
): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({
      host: address,
      port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    const cancel = clock.after(CONNECT_TIMEOUT_MS, () => socket.destroy());
    const settle = (result: Socket | undefined) => {
      cancel();
      resolve(result);
    };
    // An error is always followed by close, which is what counts.
    socket.on('error', () => {});
    socket.once('close', () => settle(undefined));
    socket.once('connect', () => settle(socket));
    opened(socket);
  });
}
