/** Clients and endpoints that behave as badly as the Internet does, at random. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const CHUNK = Buffer.alloc(64 << 10, 'rough ');
/** More than all the buffers on the way hold. */
const FLOOD_CHUNKS = 400;
/** Longer than any idle timeout of the tests. */
const PATIENCE_MS = 10_000;

type Manners = (socket: Socket, patienceMs: number) => Promise<void> | void;

const SERVER_MANNERS: readonly Manners[] = [
  (socket) => void socket.pipe(socket),
  (socket) => void socket.resetAndDestroy(),
  (socket) => void socket.end(),
  (socket) => flood(socket),
  (socket) => void socket.pause(),
  (socket) => void socket.once('data', () => socket.resetAndDestroy()),
  async (socket, patience) => {
    flood(socket);
    await sleep(patience);
    socket.resetAndDestroy();
  },
  async (socket, patience) => {
    await sleep(patience);
    socket.end('late');
  },
];

const CLIENT_MANNERS: readonly Manners[] = [
  (socket) => void socket.resetAndDestroy(),
  (socket) => void socket.write('hel', () => socket.resetAndDestroy()),
  (_socket, patience) => sleep(patience),
  async (socket, patience) => {
    socket.pause();
    socket.write('flood me');
    await sleep(patience);
  },
  async (socket, patience) => {
    socket.end();
    await sleep(patience);
  },
  async (socket, patience) => {
    socket.pause();
    flood(socket);
    await sleep(patience);
  },
  async (socket, patience) => {
    flood(socket);
    await sleep(patience);
    socket.end();
    await sleep(patience);
  },
];

export async function serveRoughly(address: string, port = 8080): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    // Who does not read is not told of a reset, and would keep its socket for ever.
    const tired = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.once('close', () => clearTimeout(tired));
    void oneOf(SERVER_MANNERS)(socket, Math.random() * 500);
  });
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  return server;
}

/** `atOnce` clients that come again and again until `goOn` says no; resolves with how many connections there were. */
export async function callRoughly(host: string, atOnce: number, goOn: () => boolean): Promise<number> {
  let count = 0;
  const client = async () => {
    while (goOn()) {
      count++;
      await callOnce(host, Math.random() * 1000);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, client));
  return count;
}

async function callOnce(host: string, patienceMs: number): Promise<void> {
  const socket = connect({ host, port: 80, allowHalfOpen: true });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const connected = new Promise<void>((resolve) => socket.once('connect', resolve));
  socket.on('error', () => {});
  socket.on('data', () => {});
  await Promise.race([connected, closed]);
  await Promise.race([oneOf(CLIENT_MANNERS)(socket, patienceMs), closed]);
  if (Math.random() < 0.5) socket.resetAndDestroy();
  else socket.destroy();
  await closed;
}

function flood(socket: Socket): void {
  let left = FLOOD_CHUNKS;
  const more = () => {
    while (left > 0 && !socket.destroyed && socket.writable) {
      left--;
      if (!socket.write(CHUNK)) return void socket.once('drain', more);
    }
  };
  more();
}

function oneOf(manners: readonly Manners[]): Manners {
  return manners[Math.floor(Math.random() * manners.length)] ?? (() => {});
}
