/** One consistent list of a resource, page by page, each item decoded as it arrives. */
import { PenstockError } from '../../errors.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import { type Clock, Watchdog } from '../../time/Clock.js';
import { type ApiTransport, broken, getBody } from '../http/ApiTransport.js';
import { JsonItems } from './JsonItems.js';
import { pathOf, type WatchedPath } from './resources.js';
import { versionOf } from './resourceVersion.js';

/** As client-go's pager. */
const PAGE_SIZE = 500;
/** Kubernetes is tested with 10,000 Services and 150,000 Pods; nobody has more objects of a kind than that. */
export const MOST_ITEMS = 250_000;
/** Pages without an object, one after the other: selectors may leave nothing of a page. */
const MOST_EMPTY_PAGES = 100;
/** Milliseconds without a byte after which a list counts as hung. */
const SILENCE_MS = 30_000;

export interface ListOptions {
  readonly resource: WatchedPath;
  readonly transport: ApiTransport;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** `pages`, or `whole` for when the pages expire faster than they can be read. */
  readonly cut: 'pages' | 'whole';
  readonly onItem: (raw: unknown) => void;
  /** A part of the answer has come. */
  readonly onHeard: () => void;
}

/**
 * Resolves to the resource version of the list. Rejects with ApiError 410 when the list has expired meanwhile: what was
 * read so far is then worthless. No resourceVersion is asked for, so that the answer is never older than the truth.
 */
export async function listPages(options: ListOptions): Promise<string> {
  let continuation = '';
  let items = 0;
  let emptyPages = 0;
  for (;;) {
    let found = 0;
    const onItem = (raw: unknown) => {
      found++;
      options.onItem(raw);
    };
    const page = await readPage({ ...options, onItem }, continuation);
    const version = versionOf(page);
    if (version === undefined) throw noList(options.resource, 'a list without a resourceVersion');
    const next = continuationOf(page);
    if (next === '') return version;
    items += found;
    // A server that goes round in circles, or makes up pages, would be asked for ever.
    emptyPages = found === 0 ? emptyPages + 1 : 0;
    if (next === continuation || emptyPages > MOST_EMPTY_PAGES)
      throw endless(options.resource, 'it goes on, but brings nothing new');
    if (items > MOST_ITEMS) throw tooManyItems(options.resource, items);
    continuation = next;
  }
}

async function readPage(options: ListOptions, continuation: string): Promise<unknown> {
  const { resource, transport, clock, signal, cut, onItem, onHeard } = options;
  const request = new AbortController();
  const abort = () => request.abort();
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  let hung = false;
  const watchdog = new Watchdog(clock, SILENCE_MS, () => {
    hung = true;
    abort();
  });
  try {
    const path = pathOf(resource, {
      ...(cut === 'pages' ? { limit: String(PAGE_SIZE) } : {}),
      ...(continuation === '' ? {} : { continue: continuation }),
    });
    const items = new JsonItems(onItem);
    for await (const chunk of await getBody(transport, path, request.signal)) {
      watchdog.heard();
      onHeard();
      items.push(chunk);
    }
    return items.end();
  } catch (error) {
    if (hung) throw silent(resource);
    if (error instanceof SyntaxError) throw noList(resource, `no valid JSON (${error.message})`);
    throw error instanceof PenstockError || signal.aborted
      ? error
      : broken(`the list of ${resource.title}`, error);
  } finally {
    watchdog.stop();
    signal.removeEventListener('abort', abort);
    // A body that was left in the middle would keep its connection.
    abort();
  }
}

function continuationOf(page: unknown): string {
  const metadata = isRawObject(page) && isRawObject(page.metadata) ? page.metadata : {};
  return typeof metadata.continue === 'string' ? metadata.continue : '';
}

function noList(resource: WatchedPath, found: string): PenstockError {
  const message = `the list of ${resource.title} is ${found}`;
  return new PenstockError('PENSTOCK_API_NOT_A_LIST', message, {
    remedy:
      'Check that the server is a Kubernetes API server, and that no proxy in between changes its answers.',
  });
}

export function tooManyItems(resource: WatchedPath, items: number): PenstockError {
  return endless(resource, `there is more after ${items} objects`);
}

function endless(resource: WatchedPath, found: string): PenstockError {
  const message = `the list of ${resource.title} has no end: ${found}`;
  return new PenstockError('PENSTOCK_API_NOT_A_LIST', message, {
    remedy:
      'Check that the server is a Kubernetes API server, and that no proxy in between changes its answers.',
  });
}

function silent(resource: WatchedPath): PenstockError {
  const message = `the list of ${resource.title} stopped arriving for ${SILENCE_MS / 1000} s`;
  return new PenstockError('PENSTOCK_API_SILENT', message, {
    remedy: 'Check the load on the API server and the network between it and this node.',
  });
}
