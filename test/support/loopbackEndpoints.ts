/** Endpoints that really answer, as addresses of this namespace. Each says which address was reached. */

import { connect, createServer, type Server } from 'node:net';
import { shell } from './iptables.js';
import { PATIENCE } from './patience.js';

/** Makes the namespace usable: a default route that leads nowhere, the given addresses answering on port 8080. */
export async function serveOnLoopback(addresses: readonly string[]): Promise<Server> {
  shell(
    'ip link set lo up; ip link add out type veth peer name peer; ip link set out up; ip link set peer up',
  );
  shell('ip addr add 192.168.77.1/24 dev out; ip route add default dev out');
  for (const address of addresses) shell(`ip addr add ${address}/32 dev lo`);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    // One whose last packets were lost while rules changed keeps no test from ending.
    socket.unref();
    socket.end(String(socket.localAddress));
  });
  await new Promise<void>((resolve) => server.listen(8080, '0.0.0.0', resolve));
  return server;
}

const AFTER_A_PAUSE_MS = 500 * PATIENCE;

/** The address that answered, or the error code (`ECONNREFUSED`, `TIMEOUT`). */
export function ask(host: string, port = 80, timeout = 2000 * PATIENCE): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout });
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    // The server may be of this process: while a test waits for a program (spawnSync), it answers nobody, and time passes.
    socket.once('timeout', () => {
      setTimeout(() => {
        resolve('TIMEOUT');
        socket.destroy();
      }, AFTER_A_PAUSE_MS);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'ERROR'));
    socket.on('close', () => resolve(text));
  });
}
