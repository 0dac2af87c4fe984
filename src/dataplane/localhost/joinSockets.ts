/**
 * Passes bytes between two connected sockets, both ways. The end of one direction is passed on and leaves the other
 * open; a reset is passed on as a reset, so that nobody takes a torn stream for a whole one.
 */
import type { Socket } from 'node:net';

/** Both are open, made with allowHalfOpen, and have a listener for 'error'. */
export function joinSockets(client: Socket, endpoint: Socket): void {
  client.pipe(endpoint);
  endpoint.pipe(client);
  client.once('close', () => passReset(client, endpoint));
  endpoint.once('close', () => passReset(endpoint, client));
}

function passReset(closed: Socket, other: Socket): void {
  // After an orderly end in both directions the other closes by itself, once its last bytes are out.
  const orderly = closed.readableEnded && closed.writableFinished;
  if (!orderly && !other.destroyed) other.resetAndDestroy();
}
