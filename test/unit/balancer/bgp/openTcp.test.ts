/** The TCP connection of a session: a router that reads nothing holds no socket. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { BgpConnection } from '../../../../src/balancer/bgp/BgpConnection.js';
import { openTcp } from '../../../../src/balancer/bgp/openTcp.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { ip } from '../../../support/builders.js';

/** Bytes: more than both sides' kernels keep. */
const MUCH = 32 << 20;

async function connected(t: Test): Promise<{ readonly connection: BgpConnection; readonly router: Socket }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const connection = await new Promise<BgpConnection>((resolve, reject) => {
    openTcp(
      {
        address: ip('127.0.0.1'),
        port: (server.address() as AddressInfo).port,
        sourceAddress: undefined,
        password: '',
        distance: 'far',
      },
      systemClock,
    )({ opened: resolve, data: () => {}, closed: (why) => reject(new Error(why)) });
  });
  const [router] = (await accepted) as [Socket];
  t.teardown(() => router.destroy());
  return { connection, router };
}

function clientSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
}

t.test('a router that does not read holds no socket of a session that has ended', async (t) => {
  const before = clientSockets();
  const { connection, router } = await connected(t);
  connection.write(new Uint8Array(MUCH));
  connection.close();
  t.equal(clientSockets(), before + 2, 'ours waits, and the router has its own');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  t.equal(clientSockets(), before + 1, 'the router alone has one');
  router.destroy();
});

t.test('what was written before the end arrives', async (t) => {
  const { connection, router } = await connected(t);
  connection.write(Buffer.from('last words'));
  connection.close();
  let heard = '';
  router.on('data', (bytes) => {
    heard += bytes.toString();
  });
  router.resume();
  await once(router, 'end');
  t.equal(heard, 'last words');
});
