/**
 * A small API server: resource versions, pages with continue tokens, watches with bookmarks and initial events, selectors, single
 * objects, 410 for versions that were compacted. In memory; serveApi.ts puts it on a socket.
 */
import type { ApiResponse, ApiTransport } from '../../src/kubernetes/http/ApiTransport.js';
import type { Clock } from '../../src/time/Clock.js';
import { isSelected } from './selectors.js';

export interface RawApiObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly resourceVersion?: string;
  };
}

/** What happens to one answer. */
export type Fault =
  | { readonly type: 'refuse' }
  /** `token`: of a 410 between pages, to go on with something inconsistent. */
  | {
      readonly type: 'status';
      readonly status: number;
      readonly retryAfter?: string;
      readonly token?: string;
    }
  /** Of a list or watch: so many bytes of what comes first, then the connection breaks. */
  | { readonly type: 'cut'; readonly after: number }
  /** Of a list or watch: so many bytes, then nothing any more. */
  | { readonly type: 'stall'; readonly after: number }
  | { readonly type: 'garbage' }
  | { readonly type: 'old event' }
  | { readonly type: 'swapped events' }
  | { readonly type: 'gone event' };

interface StoredEvent {
  readonly path: string;
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: RawApiObject;
}

export interface ApiRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  /** On the clock of the server, in milliseconds. */
  readonly at: number;
}

export class FakeApiServer implements ApiTransport {
  readonly server = 'https://api.test:6443';
  readonly requests: ApiRequest[] = [];
  /** Whether it knows sendInitialEvents: answers 422 otherwise. */
  initialEvents: 'known' | 'refused' | 'ignored' = 'known';
  /** Of a watch from a version that the server has not reached: a real one (1.36.2) says nothing until then. */
  futureVersions: 'answered' | 'silent' = 'answered';
  /** Faults of the next requests, in order; undefined lets one pass. */
  faults: (Fault | undefined)[] = [];
  /** The same for requests of one path. */
  readonly faultsAt = new Map<string, (Fault | undefined)[]>();
  #version = 1000;
  #oldest = 0;
  readonly #objects = new Map<string, Map<string, RawApiObject>>();
  #history: StoredEvent[] = [];
  #lists = new Map<string, { readonly version: number; readonly rest: readonly RawApiObject[] }>();
  readonly #watches = new Set<Pipe>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  objects(path: string): readonly RawApiObject[] {
    return [...(this.#objects.get(path)?.values() ?? [])];
  }

  put(path: string, object: RawApiObject): void {
    const key = keyOf(object);
    const all = this.#objects.get(path) ?? new Map<string, RawApiObject>();
    this.#objects.set(path, all);
    const type = all.has(key) ? 'MODIFIED' : 'ADDED';
    const version = ++this.#version;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    all.set(key, stored);
    this.#record({ path, version, type, object: stored });
  }

  delete(path: string, object: RawApiObject): void {
    const all = this.#objects.get(path);
    const before = all?.get(keyOf(object));
    if (!before) return;
    all?.delete(keyOf(object));
    const version = ++this.#version;
    const last = { ...before, metadata: { ...before.metadata, resourceVersion: String(version) } };
    this.#record({ path, version, type: 'DELETED', object: last });
  }

  /** Forgets history: older versions and continue tokens are answered with 410. */
  compact(): void {
    this.#oldest = this.#version;
    this.#history = [];
    this.#lists.clear();
  }

  /** As after a restore from a backup: what is stored stays, versions start over below those that clients know. */
  goBack(): void {
    this.#version = Math.max(100, this.#version - 500);
    this.#oldest = this.#version;
    this.#history = [];
    this.#lists.clear();
    this.breakConnections();
    for (const all of this.#objects.values())
      for (const [key, object] of all) {
        const resourceVersion = String(++this.#version);
        all.set(key, { ...object, metadata: { ...object.metadata, resourceVersion } });
      }
  }

  breakConnections(): void {
    for (const watch of this.#watches) watch.fail(new Error('socket hang up'));
    this.#watches.clear();
  }

  /** As a server does in its time. */
  endWatches(): void {
    for (const watch of this.#watches) watch.end();
    this.#watches.clear();
  }

  bookmark(): void {
    for (const watch of this.#watches) this.#bookmark(watch);
  }

  #bookmark(watch: Pipe): void {
    if (this.#version >= watch.after) watch.write(line('BOOKMARK', bookmarkAt(watch.path, this.#version)));
  }

  async get(path: string, signal: AbortSignal): Promise<ApiResponse> {
    if (signal.aborted) throw new Error('aborted');
    const url = new URL(path, this.server);
    this.requests.push({ path: url.pathname, query: url.searchParams, at: this.#clock.now() });
    const fault = this.faultsAt.get(url.pathname)?.shift() ?? this.faults.shift();
    if (fault?.type === 'refuse') throw new Error('connect ECONNREFUSED');
    if (fault?.type === 'status') return status(fault.status, 'injected', fault.retryAfter, fault.token);
    if (this.#isObject(url.pathname)) return this.#object(url.pathname, signal);
    // A client in Go says `1`.
    const watch = ['true', '1'].includes(url.searchParams.get('watch') ?? '');
    return watch ? this.#watch(url, signal, fault) : this.#list(url, signal, fault);
  }

  /** `/api/v1/nodes/node1`; a Lease also when there is none. */
  #isObject(path: string): boolean {
    return this.#objects.has(storedAt(path).collection) || /\/leases\/[^/]+$/.test(path);
  }

  #object(path: string, signal: AbortSignal): ApiResponse {
    const { collection, namespace, name } = storedAt(path);
    const object = this.#objects.get(collection)?.get(`${namespace}/${name}`);
    if (!object) return status(404, `${path} not found`);
    const pipe = new Pipe(signal, undefined);
    pipe.write(JSON.stringify({ ...object, ...typeOf(collection) }));
    pipe.end();
    return { status: 200, retryAfter: undefined, body: pipe.read() };
  }

  async close(): Promise<void> {
    this.breakConnections();
  }

  #list(url: URL, signal: AbortSignal, fault: Fault | undefined): ApiResponse {
    const limit = Number(url.searchParams.get('limit') ?? '0');
    const token = url.searchParams.get('continue');
    const kept = token === null ? undefined : this.#lists.get(token);
    if (token !== null && !kept) return status(410, 'The provided continue parameter is too old');
    const version = kept?.version ?? this.#version;
    const all =
      kept?.rest ?? this.#listed(url.pathname).filter((object) => isSelected(object, url.searchParams));
    const items = limit > 0 ? all.slice(0, limit) : all;
    const rest = all.slice(items.length);
    const next = rest.length > 0 ? `token-${version}-${rest.length}-${url.pathname}` : '';
    if (next !== '') this.#lists.set(next, { version, rest });
    const metadata = { resourceVersion: String(version), ...(next === '' ? {} : { continue: next }) };
    const pipe = new Pipe(signal, fault);
    const { kind, apiVersion } = typeOf(url.pathname);
    const list = { kind: `${kind}List`, apiVersion, metadata, items };
    pipe.write(fault?.type === 'garbage' ? '<html>' : JSON.stringify(list));
    pipe.end();
    return { status: 200, retryAfter: undefined, body: pipe.read() };
  }

  /** Those of one namespace are among those of all, where these are kept together. */
  #listed(path: string): readonly RawApiObject[] {
    const [whole = '', namespace] = /\/namespaces\/([^/]+)(?=\/)/.exec(path) ?? [];
    if (namespace === undefined || this.#objects.has(path)) return this.objects(path);
    return this.objects(path.replace(whole, '')).filter((each) => each.metadata.namespace === namespace);
  }

  #watch(url: URL, signal: AbortSignal, fault: Fault | undefined): ApiResponse {
    const initial = url.searchParams.get('sendInitialEvents') === 'true';
    if (initial && this.initialEvents === 'refused')
      return status(
        422,
        'sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled',
      );
    const after = Number(url.searchParams.get('resourceVersion') ?? '0');
    const pipe = new Pipe(signal, fault);
    pipe.path = url.pathname;
    pipe.accepts = (event) => event.path === url.pathname && isSelected(event.object, url.searchParams);
    if (this.futureVersions === 'silent' && !initial) pipe.after = after;
    const body = { status: 200, retryAfter: undefined, body: pipe.read() };
    if (initial) {
      for (const object of this.objects(url.pathname))
        if (isSelected(object, url.searchParams)) pipe.write(line('ADDED', object));
      if (this.initialEvents === 'known') {
        const annotations = { 'k8s.io/initial-events-end': 'true' };
        pipe.write(line('BOOKMARK', bookmarkAt(url.pathname, this.#version, annotations)));
      }
    } else if (after < this.#oldest) {
      pipe.write(line('ERROR', { kind: 'Status', code: 410, message: 'too old resource version' }));
      pipe.end();
      return body;
    } else {
      const missed = this.#history.filter((event) => event.version > after && pipe.accepts(event));
      if (fault?.type === 'swapped events') missed.reverse();
      if (fault?.type === 'old event') for (const event of missed.slice(0, 1)) missed.push(event);
      for (const { type, object } of missed) pipe.write(line(type, object));
    }
    if (fault?.type === 'garbage') pipe.write('{"type":"ADDED","object":{"metadata"\n');
    if (fault?.type === 'gone event')
      pipe.write(line('ERROR', { kind: 'Status', code: 410, message: 'injected' }));
    this.#watches.add(pipe);
    const seconds = Number(url.searchParams.get('timeoutSeconds'));
    pipe.whenOver(this.#clock.after(seconds * 1000, () => pipe.end()));
    this.#bookmarkEachMinute(pipe);
    return body;
  }

  #bookmarkEachMinute(pipe: Pipe): void {
    pipe.whenOver(
      this.#clock.after(MINUTE, () => {
        this.#bookmark(pipe);
        this.#bookmarkEachMinute(pipe);
      }),
    );
  }

  #record(event: StoredEvent): void {
    this.#history.push(event);
    for (const watch of this.#watches)
      if (event.version > watch.after && watch.accepts(event)) watch.write(line(event.type, event.object));
  }
}

/** Milliseconds. */
const MINUTE = 60_000;

/** A body that is written to while it is read. */
class Pipe {
  path = '';
  accepts: (event: StoredEvent) => boolean = () => false;
  /** Nothing up to this version is written. */
  after = 0;
  #chunks: Uint8Array[] = [];
  #state: 'open' | 'ended' | Error = 'open';
  #wake: () => void = () => undefined;
  readonly #cancels: (() => void)[] = [];
  readonly #fault: Fault | undefined;
  #left: number;

  constructor(signal: AbortSignal, fault: Fault | undefined) {
    this.#fault = fault;
    this.#left = fault?.type === 'cut' || fault?.type === 'stall' ? fault.after : Number.POSITIVE_INFINITY;
    signal.addEventListener('abort', () => this.fail(new Error('aborted')));
  }

  whenOver(cancel: () => void): void {
    if (this.#state === 'open') this.#cancels.push(cancel);
    else cancel();
  }

  write(text: string): void {
    if (this.#state !== 'open' || this.#left <= 0) return;
    const bytes = Buffer.from(text);
    this.#chunks.push(bytes.subarray(0, this.#left));
    this.#left -= bytes.length;
    if (this.#left <= 0 && this.#fault?.type === 'cut') this.#state = new Error('terminated');
    this.#wake();
  }

  end(): void {
    if (this.#left > 0 && this.#state === 'open') this.#state = 'ended';
    this.#over();
  }

  fail(error: Error): void {
    if (this.#state === 'open') this.#state = error;
    this.#over();
  }

  #over(): void {
    if (this.#state !== 'open') for (const cancel of this.#cancels) cancel();
    this.#wake();
  }

  async *read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk) yield chunk;
      else if (this.#state === 'ended') return;
      else if (this.#state !== 'open') throw this.#state;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

function status(code: number, message: string, retryAfter?: string, token?: string): ApiResponse {
  const metadata = token === undefined ? {} : { continue: token };
  const text = JSON.stringify({
    kind: 'Status',
    apiVersion: 'v1',
    metadata,
    status: 'Failure',
    code,
    message,
  });
  const body = (async function* () {
    yield Buffer.from(text);
  })();
  return { status: code, retryAfter, body };
}

function line(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`;
}

function bookmarkAt(path: string, version: number, annotations?: object): object {
  return { ...typeOf(path), metadata: { resourceVersion: String(version), annotations } };
}

const KINDS: Readonly<Record<string, string>> = {
  services: 'Service',
  endpoints: 'Endpoints',
  endpointslices: 'EndpointSlice',
  nodes: 'Node',
  servicecidrs: 'ServiceCIDR',
};

/** What clients in Go look at before anything else. `/api/v1/services`, `/apis/discovery.k8s.io/v1/endpointslices` */
export function typeOf(path: string): { readonly kind: string; readonly apiVersion: string } {
  const [, root, ...rest] = path.split('/');
  const kind = KINDS[rest.at(-1) ?? ''] ?? 'Unknown';
  return { kind, apiVersion: rest.slice(0, root === 'api' ? 1 : 2).join('/') };
}

/**
 * Where the object of a path is kept: `/api/v1/namespaces/shop/services/cart` among all Services, as who follows them asks for those
 * of all namespaces. Leases are followed in one namespace.
 */
export function storedAt(path: string): {
  readonly collection: string;
  readonly namespace: string;
  readonly name: string;
} {
  const end = path.lastIndexOf('/');
  const [parent, name] = [path.slice(0, end), path.slice(end + 1)];
  const [whole = '', namespace = ''] = /\/namespaces\/([^/]+)(?=\/)/.exec(parent) ?? [];
  const collection = parent.endsWith('/leases') ? parent : parent.replace(whole, '');
  return { collection, namespace, name };
}

function keyOf({ metadata }: RawApiObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
