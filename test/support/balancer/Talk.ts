/** A connection that asks a line and hears who answers. */
import { createConnection, type Socket } from 'node:net';
import { eventually } from '../iptables.js';

export class Talk {
  readonly socket: Socket;
  #text = '';
  dead = false;

  constructor(host: string, port: number) {
    this.socket = createConnection({ host, port });
    // A peer that is gone with its node never ends it, and the test would wait for that.
    this.socket.unref();
    this.socket.on('data', (chunk) => {
      this.#text += chunk;
    });
    this.socket.on('error', () => {
      this.dead = true;
    });
    this.socket.on('close', () => {
      this.dead = true;
    });
  }

  /** `node3 192.0.2.254`; '' when nothing came. */
  async ask(limitMs = 4000): Promise<string> {
    this.#text = '';
    this.socket.write('x\n');
    await eventually(() => this.dead || this.#text.endsWith('\n'), limitMs);
    return this.#text.trim();
  }
}
