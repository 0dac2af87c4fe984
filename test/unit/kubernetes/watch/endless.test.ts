/** A server that begins a watch with more objects than there can be. */
import t from 'tap';
import { Contact } from '../../../../src/kubernetes/contact/Contact.js';
import { Outage } from '../../../../src/kubernetes/contact/Outage.js';
import type { ApiTransport } from '../../../../src/kubernetes/http/ApiTransport.js';
import { Turns } from '../../../../src/kubernetes/http/Turns.js';
import { InitialEvents } from '../../../../src/kubernetes/watch/InitialEvents.js';
import { MOST_ITEMS } from '../../../../src/kubernetes/watch/listPages.js';
import { Reflector } from '../../../../src/kubernetes/watch/Reflector.js';
import { watchedResources } from '../../../../src/kubernetes/watch/resources.js';
import { FakeClock } from '../../../support/FakeClock.js';

const LINES = 1000;

t.test('initial events without an end are left, and the server is asked again later', async (t) => {
  let sent = 0;
  let asked = 0;
  const line = '{"type":"ADDED","object":{"metadata":{"resourceVersion":"1"}}}\n';
  const transport: ApiTransport = {
    server: 'https://api.test',
    async get(_path, signal) {
      asked++;
      return {
        status: 200,
        retryAfter: undefined,
        body: (async function* () {
          while (!signal.aborted && sent < 3 * MOST_ITEMS) {
            sent += LINES;
            yield Buffer.from(line.repeat(LINES));
          }
        })(),
      };
    },
    async close() {},
  };
  const [resource] = watchedResources('node1', '');
  if (!resource) throw new Error('no resource');
  const clock = new FakeClock();
  const log = { info: () => {}, warn: () => {} };
  const contact = new Contact(resource, clock, new Outage(clock, 'https://api.test', log, () => ''));
  const changes = { count: 0 };
  const reflector = new Reflector<never>({
    resource,
    store: {
      upsert: () => [],
      remove: () => [],
      snapshot: () => ({ add() {}, remove() {}, take: () => [] }),
    },
    transport,
    clock,
    random: () => 0.5,
    turns: new Turns(),
    initialEvents: new InitialEvents(),
    contact,
    events: { changes: () => changes.count++, complete: () => changes.count++, problemsChanged() {} },
  });
  reflector.start();
  while (contact.state().reason === undefined && sent < 3 * MOST_ITEMS)
    await new Promise((resolve) => setImmediate(resolve));
  t.match(contact.state().reason, /^the list of Services has no end: there is more after 250000 objects/);
  t.ok(sent <= MOST_ITEMS + 2 * LINES, `${sent} were read`);
  t.equal(asked, 1, 'it backs off');
  t.equal(changes.count, 0);
  await reflector.stop();
});
