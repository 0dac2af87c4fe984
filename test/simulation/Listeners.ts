/** HTTP servers of a simulated host: they listen on nothing, and are known. They take the place of those of node:http. */
import { EventEmitter } from 'node:events';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import type { Chance } from './Chance.js';
import type { VirtualTime } from './VirtualTime.js';

export interface ListeningHost {
  readonly time: VirtualTime;
  readonly chance: Chance;
  /** How often a port cannot be opened, in percent. */
  readonly failures: () => number;
}

interface Place {
  readonly host: string;
  readonly port: number;
}

export class Listeners {
  readonly #host: ListeningHost;
  readonly #open = new Map<string, FakeServer>();

  constructor(host: ListeningHost) {
    this.#host = host;
  }

  /** `0.0.0.0:32001` */
  places(): readonly string[] {
    return [...this.#open.keys()].sort();
  }

  /** The process is gone, and its sockets with it. */
  clear(): void {
    this.#open.clear();
  }

  create(): FakeServer {
    const server = new FakeServer({
      listen: ({ host, port }) => {
        const place = `${host}:${port}`;
        const { time, chance, failures } = this.#host;
        const isTaken = this.#open.has(place) || chance.percent(failures());
        // Bound at once, told in the next turn, as in Node.
        if (!isTaken) this.#open.set(place, server);
        time.set(0, () => {
          if (isTaken) {
            const message = `listen EADDRINUSE: address already in use ${place}`;
            server.emit('error', Object.assign(new Error(message), { code: 'EADDRINUSE' }));
          } else server.emit('listening');
        });
      },
      close: () => {
        for (const [place, other] of this.#open) if (other === server) this.#open.delete(place);
      },
    });
    return server;
  }
}

/** What of http.Server is used. */
class FakeServer extends EventEmitter {
  readonly #actions: { readonly listen: (place: Place) => void; readonly close: () => void };

  constructor(actions: { readonly listen: (place: Place) => void; readonly close: () => void }) {
    super();
    this.#actions = actions;
  }

  setTimeout(): this {
    return this;
  }

  listen(place: Place, listening: () => void): this {
    this.once('listening', listening);
    this.#actions.listen(place);
    return this;
  }

  close(): this {
    this.#actions.close();
    return this;
  }

  closeAllConnections(): void {}
}

/** From now on there are no other HTTP servers in this process than those of `present()`. */
export function takeOverServers(present: () => Listeners): void {
  const http = createRequire(import.meta.url)('node:http') as { createServer: unknown };
  http.createServer = () => present().create();
  syncBuiltinESMExports();
}
