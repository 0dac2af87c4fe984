/** What a real API server (Kubernetes 1.36.2) answered, read by the parts that read it: ../shared/stock/golden/apiserver. */
import t from 'tap';
import type { ApiTransport } from '../../../../src/kubernetes/http/ApiTransport.js';
import { KubernetesSource } from '../../../../src/kubernetes/KubernetesSource.js';
import type { ObjectChange } from '../../../../src/objects/ApiObject.js';
import { objectName, refOf } from '../../../../src/objects/ApiObject.js';
import { type Clock, systemClock } from '../../../../src/time/Clock.js';
import { needsShared, readShared } from '../../../support/shared.js';

interface Recorded {
  readonly status: number;
  readonly body: string;
}

/** `> ` lines are the request; the answer follows. The last line may be what curl said of itself. */
function recorded(name: string): Recorded {
  const text = readShared(`stock/golden/apiserver/${name}.http`).replaceAll('\r\n', '\n');
  const answer = text.slice(text.indexOf('HTTP/1.1 '));
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
  const body = answer.slice(answer.indexOf('\n\n') + 2).replace(/\n\[curl [^\]]*\]\s*$/, '\n');
  return { status, body };
}

/** Answers each path with recordings, one after the other; then nothing comes any more. */
class Replay implements ApiTransport {
  readonly server = 'https://recorded';
  readonly asked: string[] = [];
  readonly #answers: Map<string, Recorded[]>;

  constructor(answers: Readonly<Record<string, readonly Recorded[]>>) {
    this.#answers = new Map(Object.entries(answers).map(([path, list]) => [path, [...list]]));
  }

  async get(path: string, signal: AbortSignal) {
    this.asked.push(path);
    const next = this.#answers.get(path.split('?')[0] ?? '')?.shift();
    const body = (async function* () {
      if (next === undefined) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      // In pieces that cut lines and characters.
      const bytes = Buffer.from(next?.body ?? '');
      for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777);
    })();
    return { status: next?.status ?? 200, retryAfter: undefined, body };
  }

  async close(): Promise<void> {}
}

const SERVICES = '/api/v1/services';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const NODES = '/api/v1/nodes';
const CIDRS = '/apis/networking.k8s.io/v1/servicecidrs';
const EMPTY: Recorded = {
  status: 200,
  body: '{"kind":"List","metadata":{"resourceVersion":"1"},"items":[]}',
};

/** Waits pass at once. */
const hasty: Clock = {
  ...systemClock,
  after: (ms, action) => systemClock.after(Math.min(ms, 5), action),
};

async function deliver(replay: Replay, clock = hasty): Promise<Map<string, string>> {
  const log = { info: () => {}, warn: () => {} };
  const source = new KubernetesSource({
    transport: replay,
    nodeName: 'node1',
    serviceProxyName: '',
    log,
    clock,
    random: () => 0.5,
  });
  const present = new Map<string, string>();
  const take = (change: ObjectChange) => {
    if (change.type === 'upsert')
      present.set(objectName(refOf(change.object)), JSON.stringify(change.object));
    else present.delete(objectName(change.ref));
  };
  await new Promise<void>((resolve) => {
    void source.start({
      changes: (batch) => batch.forEach(take),
      complete: () => setTimeout(resolve, 200),
      problems: () => {},
    });
  });
  await source.stop();
  return present;
}

t.test('pages of a list belong together', needsShared, async (t) => {
  const pages = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((page) => recorded(`list-services-limit3-page${page}`));
  const names = pages.flatMap(({ body }) =>
    (
      JSON.parse(body) as {
        readonly items: readonly {
          metadata: { namespace: string; name: string };
        }[];
      }
    ).items.map(({ metadata }) => `Service ${metadata.namespace}/${metadata.name}`),
  );
  const refused = {
    status: 400,
    body: '{"kind":"Status","code":400,"message":"sendInitialEvents is forbidden"}',
  };
  const replay = new Replay({
    [SERVICES]: [refused, ...pages],
    [SLICES]: [EMPTY, EMPTY],
    [NODES]: [EMPTY, EMPTY],
    [CIDRS]: [EMPTY, EMPTY],
  });
  const present = await deliver(replay);
  const services = [...present.keys()].filter((name) => name.startsWith('Service '));
  t.ok(services.length > 15, `${services.length} Services`);
  t.strictSame([...services].sort(), [...names].sort(), 'each of every page, and no other');
});

t.test('lists of slices, nodes and ServiceCIDRs', needsShared, async (t) => {
  const replay = new Replay({
    [SERVICES]: [EMPTY, EMPTY],
    [SLICES]: [EMPTY, recorded('list-slices-all')],
    [NODES]: [EMPTY, recorded('list-nodes-fieldselector')],
    [CIDRS]: [EMPTY, recorded('list-servicecidrs')],
  });
  const present = await deliver(replay);
  const count = (kind: string) => [...present.keys()].filter((name) => name.startsWith(`${kind} `)).length;
  t.ok(count('EndpointSlice') > 10, `${count('EndpointSlice')} slices`);
  t.ok(count('Node') >= 1);
  t.ok(count('ServiceCIDR') >= 1);
});

t.test('a watch list with its bookmark is complete', needsShared, async (t) => {
  const replay = new Replay({
    [SERVICES]: [recorded('watchlist-services-sendInitialEvents')],
    [SLICES]: [recorded('watchlist-slices-sendInitialEvents-rv0')],
    [NODES]: [EMPTY, EMPTY],
    [CIDRS]: [EMPTY, EMPTY],
  });
  const present = await deliver(replay);
  t.ok(present.has('Service default/kubernetes'));
  t.ok([...present.keys()].filter((name) => name.startsWith('EndpointSlice ')).length > 10);
});
