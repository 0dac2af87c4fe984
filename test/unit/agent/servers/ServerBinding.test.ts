import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import t from 'tap';
import { ServerBinding, type ServerBindingOptions } from '../../../../src/agent/servers/ServerBinding.js';
import { createLogger } from '../../../../src/observe/log/createLogger.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { eventually } from '../../../support/iptables.js';

const RETRY_MS = 20;

/** A port that somebody else listens on. */
async function taken(): Promise<{ port: number; free: () => Promise<void> }> {
  const other = createTcpServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const free = () => new Promise<void>((resolve) => other.close(() => resolve()));
  return { port: (other.address() as AddressInfo).port, free };
}

function binding(port: number, onFailure: ServerBindingOptions['onFailure']) {
  const opened: Server[] = [];
  let said = '';
  const log = createLogger({ format: 'text', verbosity: 0 }, {
    write: (line: string) => {
      said += line;
      return true;
    },
  } as NodeJS.WritableStream);
  const open = () =>
    new Promise<Server>((resolve, reject) => {
      const server = createServer().once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        opened.push(server);
        resolve(server);
      });
    });
  const options = {
    name: 'health server' as const,
    open,
    onFailure,
    retryMs: RETRY_MS,
    clock: systemClock,
    log,
  };
  return { binding: new ServerBinding(options), opened, said: () => said };
}

t.test('a bind that fails is tried again', async (t) => {
  const { port, free } = await taken();
  const { binding: server, opened, said } = binding(port, 'try again');
  await server.start();
  t.match(said(), /ERROR.*health server: .*EADDRINUSE.*trying again every 0\.02 s/);
  await free();
  t.ok(await eventually(() => opened.length === 1), 'it listens once the port is free');
  server.close();
  t.equal(opened[0]?.listening, false);
});

t.test('a hard fail', async (t) => {
  const { port, free } = await taken();
  t.teardown(free);
  const { binding: server, said } = binding(port, 'fail');
  await t.rejects(server.start(), { code: 'PENSTOCK_CANNOT_BIND', message: /^health server: .*EADDRINUSE/ });
  t.equal(said(), '');
});

t.test('nothing is opened after the end', async (t) => {
  const { port, free } = await taken();
  const waiting = binding(port, 'try again');
  await waiting.binding.start();
  waiting.binding.close();
  await free();
  await new Promise((resolve) => setTimeout(resolve, 3 * RETRY_MS));
  t.equal(waiting.opened.length, 0, 'the next try is called off');

  const opening = binding(port, 'try again');
  const started = opening.binding.start();
  opening.binding.close();
  await started;
  t.equal(opening.opened[0]?.listening, false, 'a try under way is closed when it succeeds');
});
