/** A UDP client that keeps its socket, and an endpoint that answers it. */
import { createSocket, type Socket } from 'node:dgram';
import { eventually } from './iptables.js';
import { PATIENCE } from './patience.js';

/** Asks again and again from one socket. */
export class UdpAsker implements Disposable {
  answers = 0;
  readonly #socket: Socket = createSocket('udp4');
  readonly #asking: NodeJS.Timeout;

  constructor(address: string, port: number) {
    this.#socket.on('message', () => this.answers++);
    this.#socket.on('error', () => {});
    this.#asking = setInterval(() => this.#socket.send('x', port, address, () => {}), 200);
  }

  /** Within the time. */
  async isServed(ms = 6000): Promise<boolean> {
    const before = this.answers;
    return eventually(async () => this.answers > before + 2, ms * PATIENCE);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#asking);
    this.#socket.close();
  }
}

/** Answers each datagram with itself. */
export async function echoDatagrams(address: string, port: number): Promise<Socket> {
  const echo = createSocket('udp4');
  echo.on('message', (data, from) => echo.send(data, from.port, from.address));
  await new Promise<void>((resolve) => echo.bind(port, address, resolve));
  return echo;
}
