/**
 * The pages of the metrics port, as kube-proxy's: plain HTTP, without authentication, on loopback unless the configuration says otherwise.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { messageOf } from '../../errors.js';
import type { IpAddress } from '../../net/ip.js';
import { ownBudget } from './ConnectionBudget.js';
import { openHttpServer } from './openHttpServer.js';

export interface MetricsServerOptions {
  /** 0.0.0.0 and :: mean all addresses of both families. */
  readonly host: IpAddress;
  readonly port: number;
  /** By path. */
  readonly pages: ReadonlyMap<string, Page | LongPage>;
}

export interface Page {
  readonly contentType: string;
  /** Beside the usual ones. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: () => string | Promise<string>;
}

/** One that may have megabytes: nothing else waits until it is put together and encoded. */
export interface LongPage extends Omit<Page, 'body'> {
  readonly pieces: () => AsyncIterable<string>;
}

/** Rejects when the address cannot be bound. */
export function startMetricsServer(options: MetricsServerOptions): Promise<Server> {
  const { host, port } = options;
  return openHttpServer(
    { host, port, unspecified: 'both' },
    ownBudget(),
    (request, response) => void answer(request, response, options),
  );
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { pages }: MetricsServerOptions,
): Promise<void> {
  const page = pages.get((request.url ?? '').split('?')[0] ?? '');
  if (page === undefined)
    return send(response, 404, { 'Content-Type': PLAIN }, words('404 page not found\n'));
  try {
    send(response, 200, { 'Content-Type': page.contentType, ...page.headers }, await encoded(page));
  } catch (error) {
    send(response, 500, { 'Content-Type': PLAIN }, words(`${messageOf(error)}\n`));
  }
}

/** Of pages that are no more than words. */
export const PLAIN = 'text/plain; charset=utf-8';

function words(text: string): readonly Buffer[] {
  return [Buffer.from(text)];
}

/** Whole before anything of it is sent: what fails on the way is an error, not half a page. */
async function encoded(page: Page | LongPage): Promise<readonly Buffer[]> {
  if ('body' in page) return words(await page.body());
  const pieces: Buffer[] = [];
  for await (const piece of page.pieces()) pieces.push(Buffer.from(piece));
  return pieces;
}

function send(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: readonly Buffer[],
): void {
  const length = body.reduce((sum, piece) => sum + piece.length, 0);
  response.writeHead(status, { ...headers, 'X-Content-Type-Options': 'nosniff', 'Content-Length': length });
  for (const piece of body) response.write(piece);
  response.end();
}
