/** More than an hour without an API server, as the log tells them: over real sockets, in a time that runs 500 times as fast. */
import t from 'tap';
import { eventually } from '../../../support/iptables.js';
import { serveApi } from '../../../support/serveApi.js';
import { SERVICES, SourceWorld, service } from '../../../support/sourceWorld.js';

const SPEED = 500;
const MINUTE_MS = 60_000;

const virtual = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds / SPEED));

t.test('the server goes for 85 minutes and comes back', async (t) => {
  const world = await SourceWorld.open(t, {
    speed: SPEED,
    prepare: (fake) => fake.put(SERVICES, service(1)),
  });
  t.ok(await world.agrees());
  world.lines.length = 0;
  const port = Number(new URL(world.api.url).port);
  await world.api.close();
  await virtual(85 * MINUTE_MS);
  // A busy machine that stands still for 0.2 s makes a minute and a half of silence here, which ended before the server went.
  world.lines.splice(0, world.lines.findLastIndex((line) => line.includes('answers again')) + 1);
  const away = [...world.lines];
  t.match(
    away[0],
    new RegExp(
      `^API server ${world.api.url}: .*(ECONNREFUSED|ECONNRESET|broke off).* \\(.*; \\d+ attempts? in \\d+ (s|min)\\)\\. ` +
        'The rules stay as they are and it is tried on\\. Check that the API server runs',
    ),
    'which server, why, what that means, what to do',
  );
  t.ok(away.length === 3 || away.length === 4, `${away.length} lines: after 2 s, 5 min, 20 min, 80 min`);
  t.ok(
    away.slice(1).every((line) => /ECONNREFUSED/.test(line)),
    'reminders say why, too',
  );
  for (const { connected, complete, reason } of world.source.contacts()) {
    t.match({ connected, complete, reason }, { connected: false, complete: true, reason: /ECONNREFUSED/ });
  }
  t.ok((world.contact('services').silentForMs ?? 0) > 84 * MINUTE_MS);
  t.ok(world.contact('services').forMs > 84 * MINUTE_MS);

  world.fake.put(SERVICES, service(1, 81));
  world.api = await serveApi(world.fake, port);
  t.ok(await world.agrees(), 'what changed meanwhile');
  t.ok(await eventually(() => world.lines.length > away.length));
  t.match(world.lines.at(-1), new RegExp(`^API server ${world.api.url}: answers again, after \\d+ min$`));
  await virtual(10 * MINUTE_MS);
  t.equal(world.lines.length, away.length + 1, 'and no more');
  t.ok(world.source.contacts().every(({ connected, reason }) => connected && reason === undefined));
});

t.test('the server is not there when the agent starts', async (t) => {
  const fake = await SourceWorld.open(t, {
    speed: SPEED,
    connection: () => ({ server: 'http://127.0.0.1:1' }),
  });
  t.ok(await eventually(() => fake.lines.length > 0));
  t.match(
    fake.lines[0],
    /ECONNREFUSED.*Nothing is written before everything has been read once; it is tried on\./,
  );
  t.equal(fake.listener.completed, 0);
});
