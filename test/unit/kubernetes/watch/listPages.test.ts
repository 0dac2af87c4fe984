/** Lists without an end. */
import t from 'tap';
import type { ApiTransport } from '../../../../src/kubernetes/http/ApiTransport.js';
import { listPages } from '../../../../src/kubernetes/watch/listPages.js';
import { watchedResources } from '../../../../src/kubernetes/watch/resources.js';
import { systemClock } from '../../../../src/time/Clock.js';

type Page = { readonly items: number; readonly next: string };

async function listed(
  page: (number: number) => Page,
): Promise<{ asked: number; items: number; end: string }> {
  let asked = 0;
  let items = 0;
  const transport: ApiTransport = {
    server: 'https://api.test',
    async get() {
      const { items: count, next } = page(asked++);
      const body = JSON.stringify({
        kind: 'ServiceList',
        metadata: { resourceVersion: '1', continue: next },
        items: Array.from({ length: count }, () => ({})),
      });
      return {
        status: 200,
        retryAfter: undefined,
        body: (async function* () {
          yield Buffer.from(body);
        })(),
      };
    },
    async close() {},
  };
  const [resource] = watchedResources('node1', '');
  if (!resource) throw new Error('no resource');
  const { signal } = new AbortController();
  const rest = { clock: systemClock, signal, cut: 'pages', onHeard: () => {} } as const;
  const end = await listPages({ resource, transport, ...rest, onItem: () => void items++ }).catch(
    (error: Error) => error.message,
  );
  return { asked, items, end };
}

t.test('a continue that never changes', async (t) => {
  const { asked, end } = await listed(() => ({ items: 1, next: 'same' }));
  t.equal(asked, 2);
  t.match(end, /^the list of Services has no end: it goes on, but brings nothing new$/);
});

t.test('pages without objects', async (t) => {
  const { asked, end } = await listed((n) => ({ items: 0, next: `t${n}` }));
  t.equal(asked, 101);
  t.match(end, /brings nothing new/);
});

t.test('pages without objects in between are fine', async (t) => {
  const { items, end } = await listed((n) => ({ items: n % 50 === 0 ? 1 : 0, next: n < 500 ? `t${n}` : '' }));
  t.same([items, end], [11, '1']);
});

t.test('objects without end', async (t) => {
  const { items, end } = await listed((n) => ({ items: 5000, next: `t${n}` }));
  t.equal(items, 255_000);
  t.match(end, /^the list of Services has no end: there is more after 255000 objects$/);
});
