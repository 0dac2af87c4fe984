/** A FakeApiServer on a socket, over plain HTTP, and what is written to it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FakeApiServer } from './FakeApiServer.js';

export interface Written {
  readonly method: string;
  readonly path: string;
  readonly contentType: string;
  readonly body: unknown;
}

export interface ServedApi {
  readonly url: string;
  /** What was sent with POST and PATCH. */
  readonly written: readonly Written[];
  readonly server: Server;
  close(): Promise<void>;
}

/** `port` 0: any. */
export async function serveApi(fake: FakeApiServer, port = 0): Promise<ServedApi> {
  const written: Written[] = [];
  const server = createServer((request, response) => {
    const answered =
      request.method === 'GET' ? read(fake, request, response) : write(request, response, written);
    answered.catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    written,
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function read(fake: FakeApiServer, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const { status, retryAfter, body } = await fake.get(request.url ?? '/', gone.signal);
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(retryAfter === undefined ? {} : { 'retry-after': retryAfter }),
  });
  response.flushHeaders();
  await pipeline(Readable.from(body), response);
}

async function write(request: IncomingMessage, response: ServerResponse, written: Written[]): Promise<void> {
  let text = '';
  for await (const chunk of request) text += chunk;
  written.push({
    method: request.method ?? '',
    path: request.url ?? '',
    contentType: request.headers['content-type'] ?? '',
    body: JSON.parse(text),
  });
  response.writeHead(201, { 'content-type': 'application/json' }).end('{}');
}
