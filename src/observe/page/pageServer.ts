/**
 * The page: read only, on loopback alone, for whoever may open a port there (`kubectl port-forward`, ssh -L). A name that
 * somebody pointed at 127.0.0.1 is no host of ours: pages of strangers learn nothing (DNS rebinding).
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { messageOf, PenstockError } from '../../errors.js';
import type { IpAddress } from '../../net/ip.js';
import { type Clock, every } from '../../time/Clock.js';
import type { AgentStatus } from '../admin/AgentStatus.js';
import { ConnectionBudget } from '../http/ConnectionBudget.js';
import { openHttpServer } from '../http/openHttpServer.js';
import { html } from './html.js';
import { document } from './layout.js';
import type { PageSource } from './PageSource.js';
import { CONTENT, NotThere } from './pages.js';
import { SCRIPT, STYLE } from './style.js';

export interface PageServerOptions {
  /** Loopback. */
  readonly host: IpAddress;
  readonly port: number;
  readonly source: PageSource;
  readonly clock: Clock;
}

/** Readers at once. */
const MOST_CONNECTIONS = 64;
/** A word now and then keeps a stream open that nothing happens on. */
const WORD_EVERY_MS = 10_000;

const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-store',
} as const;

/** Rejects when the address cannot be bound. */
export function startPageServer({ host, port, source, clock }: PageServerOptions): Promise<Server> {
  const budget = new ConnectionBudget(MOST_CONNECTIONS);
  return openHttpServer({ host, port, unspecified: 'family' }, budget, (request, response) => {
    void answer(request, response, source, clock);
  });
}

/** `127.0.0.1:10255`, `localhost`, `[::1]:8080`: by any port, as it may be forwarded. */
export function isOwnHost(host: string | undefined): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i.test(host ?? '');
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  source: PageSource,
  clock: Clock,
): Promise<void> {
  const send = (status: number, type: string, body: string) => {
    response.writeHead(status, {
      ...HEADERS,
      'Content-Type': `${type}; charset=utf-8`,
      'Content-Length': Buffer.byteLength(body),
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  if (!isOwnHost(request.headers.host))
    return send(421, 'text/plain', 'this page answers as localhost only\n');
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return send(405, 'text/plain', 'read only: GET\n');
  const { pathname, searchParams } = urlOf(request.url);
  if (pathname === '/style.css') return send(200, 'text/css', STYLE);
  if (pathname === '/page.js') return send(200, 'text/javascript', SCRIPT);
  if (pathname === '/events') return follow(response, source, clock);
  const [status, body] = await page(pathname, searchParams, source);
  if (!response.destroyed) send(status, 'text/html', body);
}

function urlOf(text = '/'): URL {
  try {
    return new URL(text, 'http://page');
  } catch {
    return new URL('http://page/not-there');
  }
}

async function page(path: string, words: URLSearchParams, source: PageSource): Promise<[number, string]> {
  let node = '';
  try {
    const content = CONTENT.get(path);
    const status = (await source.ask('/v1/status')) as AgentStatus;
    ({ node } = status);
    if (!content) throw new NotThere(`there is no page ${path}`);
    return [200, document(await content(source, words, status), node)];
  } catch (error) {
    const isNotThere = error instanceof NotThere;
    const remedy = error instanceof PenstockError ? error.remedy : undefined;
    const said = {
      title: isNotThere ? 'Not there' : 'No answer',
      under: '/',
      head: html``,
      live: html`<p class="verdict bad">${messageOf(error)}. ${remedy ?? ''}</p>`,
    } as const;
    return [isNotThere ? 404 : 503, document(said, node)];
  }
}

/** Server-sent events: that something failed, not what; the page is then fetched anew. */
function follow(response: ServerResponse, source: PageSource, clock: Clock): void {
  response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/event-stream; charset=utf-8' });
  response.write(': failures\n\n');
  const say = (text: string) => {
    if (response.writableLength === 0) response.write(text);
  };
  const stop = source.follow(
    () => say('event: failure\ndata:\n\n'),
    () => response.end(),
  );
  const endWords = every(clock, WORD_EVERY_MS, () => say(': \n\n'));
  response.once('close', () => {
    endWords();
    stop();
  });
}
