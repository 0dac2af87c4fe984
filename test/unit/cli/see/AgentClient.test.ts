/** An agent that answers strangely, ends meanwhile, or may not be asked: one error that says so, and never a crash. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { WrongCall } from '../../../../src/cli/readArguments.js';
import { AgentClient } from '../../../../src/cli/see/AgentClient.js';
import { networkNamespaceKey } from '../../../../src/kernel/host/networkNamespaceKey.js';

/** A socket whose answers to all but /v1/status are the test's. */
async function served(t: Test, listener: RequestListener): Promise<string> {
  // Not in t.testdir(): the path of a socket has 107 bytes at most.
  const folder = mkdtempSync(join(tmpdir(), 'penstock-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 's');
  const server = createServer((request, response) => {
    if (request.url === '/v1/status')
      response.end(JSON.stringify({ networkNamespace: networkNamespaceKey() }));
    else listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return path;
}

async function clientOf(t: Test, listener: RequestListener): Promise<AgentClient> {
  const client = await AgentClient.find([await served(t, listener)]);
  if (client === undefined) throw new Error('not found');
  return client;
}

t.test('answers that are no JSON, no object, or end in the middle', async (t) => {
  for (const text of ['{"items": [', 'hello', '7', 'null', '']) {
    const client = await clientOf(t, (_, response) => response.end(text));
    await t.rejects(client.ask('/v1/services'), {
      code: 'PENSTOCK_NO_AGENT',
      message: /is no agent of penstock/,
    });
  }
  const torn = await clientOf(t, (_, response) => {
    response.write('{"items":');
    setTimeout(() => response.destroy(), 10);
  });
  await t.rejects(torn.ask('/v1/services'), { code: 'PENSTOCK_NO_AGENT', message: /ended while/ });
  const closed = await clientOf(t, (request) => request.socket.destroy());
  await t.rejects(closed.ask('/v1/services'), { code: 'PENSTOCK_NO_AGENT', message: /cannot be asked/ });
});

t.test('a wrong question is a wrong call; a fault of the agent is none', async (t) => {
  const answer = (status: number, body: object) =>
    clientOf(t, (_, response) => response.writeHead(status).end(JSON.stringify(body)));
  const wrong = await answer(400, { error: 'there is no pod a', remedy: 'look' });
  await t.rejects(wrong.ask('/v1/explain'), new WrongCall('there is no pod a', 'look'));
  const failing = await answer(500, { error: 'boom' });
  await t.rejects(failing.ask('/v1/explain'), { code: 'PENSTOCK_NO_AGENT', message: /cannot answer: boom/ });
  const odd = await answer(500, { error: { a: 1 } });
  await t.rejects(odd.ask('/v1/explain'), { code: 'PENSTOCK_NO_AGENT' });
});

t.test('who follows hears that the agent has ended, and of lines that are none', async (t) => {
  const lines: unknown[] = [];
  const ending = await clientOf(t, (_, response) => {
    response.write('{"number":1}\n{"num');
    response.write('ber":2}\n');
    setTimeout(() => response.destroy(), 50);
  });
  await t.rejects(
    ending.follow('/v1/flows', (line) => lines.push(line)),
    { code: 'PENSTOCK_NO_AGENT', message: /has ended/ },
  );
  t.same(lines, [{ number: 1 }, { number: 2 }]);
  const odd = await clientOf(t, (_, response) => response.end('what?\n'));
  await t.rejects(
    odd.follow('/v1/flows', () => {}),
    { code: 'PENSTOCK_NO_AGENT', message: /no agent of penstock/ },
  );
});

t.test('what is no agent is passed over; what may not be asked is named', async (t) => {
  t.equal(await AgentClient.find([join(t.testdir({ s: '' }), 's'), '/nowhere']), undefined);
  const stranger = await served(t, (_, response) => response.end());
  t.ok(await AgentClient.find(['/nowhere', stranger]));
  const effective = process.geteuid?.();
  if (effective !== 0) return;
  const path = await served(t, (_, response) => response.end());
  chmodSync(dirname(path), 0o755);
  chmodSync(path, 0o600);
  process.seteuid?.(65_534);
  t.teardown(() => process.seteuid?.(0));
  await t.rejects(AgentClient.find([path]), {
    code: 'PENSTOCK_NOT_PRIVILEGED',
    message: /only root may ask/,
    remedy: /sudo/,
  });
  process.seteuid?.(0);
});
