/** Endpoints on loopback that behave as a test wants, and clients that notice everything. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { shell } from './iptables.js';

export const VIP = '172.30.0.1';

/** A default route that leads nowhere, and the addresses of the endpoints. */
export function makeUserspaceWorld(addresses: readonly string[]): void {
  shell(
    'ip link set lo up; ip link add out type veth peer name peer; ip link set out up; ip link set peer up',
  );
  shell('ip addr add 192.168.77.1/24 dev out; ip route add default dev out');
  for (const address of addresses) shell(`ip addr add ${address}/32 dev lo`);
}

export async function serve(address: string, answer: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    answer(socket);
  });
  // Clients are often in the same process: what it has not accepted yet must not be dropped.
  await new Promise<void>((resolve) => server.listen({ port: 8080, host: address, backlog: 4096 }, resolve));
  return server;
}

/** Says its address to everybody who has said something, and ends. */
export function serveName(address: string): Promise<Server> {
  return serve(address, (socket) => socket.once('data', () => socket.end(address)));
}

export interface Outcome {
  /** What came, or the code of the error: `ECONNRESET`, `TIMEOUT`. */
  readonly text: string;
  /** Milliseconds from the call to the end. */
  readonly ms: number;
}

/** Says something and listens to the end. */
export function call(timeoutMs = 10_000, localAddress?: string): Promise<Outcome> {
  const started = performance.now();
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({
      host: VIP,
      port: 80,
      timeout: timeoutMs,
      ...(localAddress ? { localAddress } : {}),
    });
    const end = (outcome: string) => {
      socket.destroy();
      resolve({ text: outcome, ms: performance.now() - started });
    };
    socket.on('connect', () => socket.write('hello'));
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('timeout', () => end('TIMEOUT'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? 'ERROR'));
    socket.on('end', () => end(text));
  });
}

/** `count` calls, so many at once. */
export async function callMany(count: number, atOnce: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const client = async () => {
    while (outcomes.length + waiting < count) {
      waiting++;
      const outcome = await call();
      waiting--;
      outcomes.push(outcome);
    }
  };
  let waiting = 0;
  await Promise.all(Array.from({ length: atOnce }, client));
  return outcomes;
}

export function percentile(outcomes: readonly Outcome[], share: number): number {
  const sorted = outcomes.map(({ ms }) => ms).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
