/**
 * How many connections from outside the agent keeps. Beyond that, those that have been without a request for longest make
 * room: whoever opens many and says nothing keeps nobody else out, and takes no descriptors that the work needs.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export class ConnectionBudget {
  readonly #most: number;
  /** Those without a request under way, in the order in which they became so. */
  readonly #idle = new Set<Socket>();
  #open = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get open(): number {
    return this.#open;
  }

  /** From now on its connections count. */
  include(server: Server): void {
    server.on('connection', (socket: Socket) => this.#arrived(socket));
    server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      this.#idle.delete(socket);
      response.once('close', () => {
        if (!socket.destroyed) this.#idle.add(socket);
      });
    });
  }

  #arrived(socket: Socket): void {
    this.#open++;
    this.#idle.add(socket);
    socket.once('close', () => {
      this.#open--;
      this.#idle.delete(socket);
    });
    if (this.#open <= this.#most) return;
    // The newcomer itself, when all others are at work.
    const [oldest = socket] = this.#idle;
    this.#idle.delete(oldest);
    oldest.destroy();
  }
}

/** At most this many, and a sixteenth of the descriptors that the process may have. */
const MOST = 256;
const SHARE = 1 / 16;
/** Enough for a kubelet and a scraper. */
const LEAST = 4;

/** `limits`: the text of /proc/self/limits. */
export function mostConnections(limits: string): number {
  const descriptors = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  return Math.max(LEAST, Math.min(MOST, Math.floor(descriptors * SHARE)));
}

/** Of one kind of servers of this process. */
export function ownBudget(): ConnectionBudget {
  try {
    return new ConnectionBudget(mostConnections(readFileSync('/proc/self/limits', 'utf8')));
  } catch {
    return new ConnectionBudget(MOST);
  }
}
