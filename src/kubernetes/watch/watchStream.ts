/** The events of one watch request, from the answer to its end. */
import { PenstockError } from '../../errors.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import { type Clock, Watchdog } from '../../time/Clock.js';
import { ApiError } from '../http/ApiError.js';
import { type ApiTransport, broken, getBody } from '../http/ApiTransport.js';
import { JsonLines } from './JsonLines.js';
import { pathOf, type WatchedPath } from './resources.js';

/** Bookmarks come about once a minute; a watch that says nothing for so long is dead, or as good as that. */
const SILENCE_MS = 150_000;
/** Seconds after which the server ends a watch: 5 to 10 minutes, as client-go has it, so that watches do not end together. */
const SHORTEST_WATCH_S = 300;

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: unknown;
}

export interface WatchOptions {
  readonly resource: WatchedPath;
  readonly transport: ApiTransport;
  readonly clock: Clock;
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** Watch what comes after this version; undefined: everything there is, first (KEP-3157). */
  readonly after: string | undefined;
  /** Milliseconds without a byte after which the watch counts as hung. */
  readonly silence?: number;
  /** The server has begun to answer. */
  readonly onOpen: () => void;
  /** A part of the answer has come. */
  readonly onHeard: () => void;
}

/**
 * Yields the events that arrived together. Ends when the server ends the watch, in the middle of a line or not. Throws
 * ApiError for an error status or an ERROR event (410: `after` is too old), PenstockError for a hung watch or bad JSON.
 */
export async function* watchStream(options: WatchOptions): AsyncGenerator<readonly WatchEvent[]> {
  const { resource, transport, clock, signal, after } = options;
  const request = new AbortController();
  const abort = () => request.abort();
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  const limit = options.silence ?? SILENCE_MS;
  let hung = false;
  const watchdog = new Watchdog(clock, limit, () => {
    hung = true;
    abort();
  });
  const seconds = Math.round(SHORTEST_WATCH_S * (1 + options.random()));
  const start =
    after === undefined
      ? { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' }
      : { resourceVersion: after };
  const path = pathOf(resource, {
    watch: 'true',
    allowWatchBookmarks: 'true',
    timeoutSeconds: String(seconds),
    ...start,
  });
  try {
    const lines = new JsonLines();
    const body = await getBody(transport, path, request.signal);
    options.onOpen();
    for await (const chunk of body) {
      watchdog.heard();
      options.onHeard();
      const { events, fault } = decode(lines.push(chunk), resource);
      if (events.length > 0) yield events;
      if (fault) throw fault;
    }
  } catch (error) {
    if (hung) throw silent(resource, limit);
    throw error instanceof PenstockError || signal.aborted
      ? error
      : broken(`the watch of ${resource.title}`, error);
  } finally {
    watchdog.stop();
    signal.removeEventListener('abort', abort);
    abort();
  }
}

/** The events up to the first line that is none. */
function decode(
  lines: readonly string[],
  resource: WatchedPath,
): { events: readonly WatchEvent[]; fault: PenstockError | undefined } {
  const events: WatchEvent[] = [];
  for (const line of lines) {
    const event = parseLine(line);
    if (event === undefined) return { events, fault: badLine(resource, line) };
    const { type, object } = event;
    if (type === 'ERROR') return { events, fault: ApiError.fromStatus(object) };
    if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED' || type === 'BOOKMARK')
      events.push({ type, object });
  }
  return { events, fault: undefined };
}

function parseLine(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const event: unknown = JSON.parse(line);
    return isRawObject(event) && isRawObject(event.object) ? event : undefined;
  } catch {
    return undefined;
  }
}

function badLine(resource: WatchedPath, line: string): PenstockError {
  const message = `the watch of ${resource.title} has a line that is no event: ${line.slice(0, 60)}`;
  return new PenstockError('PENSTOCK_API_NOT_AN_EVENT', message, {
    remedy: 'Check that no proxy between this node and the API server changes its answers.',
  });
}

function silent(resource: WatchedPath, limit: number): PenstockError {
  const message = `the watch of ${resource.title} was silent for ${Math.round(limit / 1000)} s`;
  return new PenstockError('PENSTOCK_API_SILENT', message, {
    remedy:
      'Check the network between this node and the API server; idle connections may be dropped in between.',
  });
}
