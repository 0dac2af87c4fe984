/**
 * GET /metrics in Prometheus' text format, and /healthz, which tells that the process answers. As kube-proxy's metrics
 * port: plain HTTP, without authentication, on loopback unless the configuration says otherwise.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { messageOf } from '../errors.js';

export interface MetricsServerOptions {
  readonly host: string;
  readonly port: number;
  readonly contentType: string;
  /** The whole page. */
  readonly text: () => Promise<string>;
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
  { contentType, text }: MetricsServerOptions,
): Promise<void> {
  switch ((request.url ?? '').split('?')[0]) {
    case '/metrics':
      try {
        send(response, 200, contentType, await text());
      } catch (error) {
        send(response, 500, PLAIN, `${messageOf(error)}\n`);
      }
      break;
    case '/healthz':
      send(response, 200, PLAIN, 'ok');
      break;
    default:
      send(response, 404, PLAIN, '404 page not found\n');
  }
}

const PLAIN = 'text/plain; charset=utf-8';

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'Content-Type': contentType, 'X-Content-Type-Options': 'nosniff' }).end(body);
}
