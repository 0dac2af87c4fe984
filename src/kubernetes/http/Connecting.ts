/** Connections that are being made, and can be called off: undici lets go of them only when they stand or have failed. */
import { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import makeConnector from 'undici/lib/core/connect.js';

export class Connecting {
  readonly #sockets = new Set<Socket>();

  /** undici's own way to connect. */
  connector(options: buildConnector.BuildOptions): buildConnector.connector {
    const connect = makeConnector(options);
    return (target, callback) => {
      // The socket (undici 7), though its type does not say so.
      const socket: unknown = connect(target, (...result) => {
        if (socket instanceof Socket) this.#sockets.delete(socket);
        callback(...result);
      });
      if (socket instanceof Socket) this.#sockets.add(socket);
    };
  }

  callOff(): void {
    for (const socket of this.#sockets) socket.destroy(new Error('called off'));
  }
}
