/**
 * The pages of the metrics port, as kube-proxy's: plain HTTP, without authentication, on loopback unless the configuration says otherwise.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { messageOf } from '../errors.js';

export interface MetricsServerOptions {
  readonly host: string;
  readonly port: number;
  /** By path. */
  readonly pages: ReadonlyMap<string, Page>;
}

export interface Page {
  readonly contentType: string;
  readonly body: () => string | Promise<string>;
}

/** Rejects when the address cannot be bound. */
export async function startMetricsServer(options: MetricsServerOptions): Promise<Server> {
  const server = createServer((request, response) => void answer(request, response, options));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  return server;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { pages }: MetricsServerOptions,
): Promise<void> {
  const page = pages.get((request.url ?? '').split('?')[0] ?? '');
  if (page === undefined) return send(response, 404, PLAIN, '404 page not found\n');
  try {
    send(response, 200, page.contentType, await page.body());
  } catch (error) {
    send(response, 500, PLAIN, `${messageOf(error)}\n`);
  }
}

/** Of pages that are no more than words. */
export const PLAIN = 'text/plain; charset=utf-8';

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'Content-Type': contentType, 'X-Content-Type-Options': 'nosniff' }).end(body);
}
