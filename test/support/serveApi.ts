/** A FakeApiServer on a socket, over HTTP or HTTPS, and what is written to it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip } from 'node:zlib';
import type { FakeApiServer } from './FakeApiServer.js';
import type { TestCertificate } from './testCertificate.js';
import { writeToApi } from './writeToApi.js';

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

export interface ServingOptions {
  /** HTTPS, which asks for client certificates too. */
  readonly certificate?: TestCertificate;
  /** Answers 401 unless it is true. */
  readonly authorized?: (request: IncomingMessage) => boolean;
  /** `lists`: for whoever takes that. API servers compress those of 128 KiB and more, and no watch. */
  readonly gzip?: 'lists' | 'everything';
  /** Where it listens; 127.0.0.1 unless given. */
  readonly host?: string;
  /** What is written changes the objects, as in a cluster; else it is only noted. */
  readonly stores?: boolean;
}

/** `port` 0: any. */
export async function serveApi(
  fake: FakeApiServer,
  port = 0,
  { certificate, authorized = () => true, gzip, host = '127.0.0.1', stores = false }: ServingOptions = {},
): Promise<ServedApi> {
  const written: Written[] = [];
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    if (!authorized(request)) {
      response.writeHead(401).end('Unauthorized');
      return;
    }
    const answered =
      request.method === 'GET'
        ? read(fake, request, response, gzip)
        : write(request, response, written, stores ? fake : undefined);
    answered.catch(() => response.destroy());
  };
  const server = certificate
    ? createTlsServer({ ...certificate, requestCert: true, rejectUnauthorized: false }, serve)
    : createServer(serve);
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return {
    url: `${certificate ? 'https' : 'http'}://${host}:${(server.address() as AddressInfo).port}`,
    written,
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function read(
  fake: FakeApiServer,
  request: IncomingMessage,
  response: ServerResponse,
  gzip: ServingOptions['gzip'],
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const { status, retryAfter, body } = await fake.get(request.url ?? '/', gone.signal);
  const list = !request.url?.includes('watch=true') && request.headers['accept-encoding'] === 'gzip';
  const compress = gzip === 'everything' || (gzip === 'lists' && list);
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(retryAfter === undefined ? {} : { 'retry-after': retryAfter }),
    ...(compress ? { 'content-encoding': 'gzip' } : {}),
  });
  response.flushHeaders();
  const source = Readable.from(body);
  if (compress) await pipeline(source, createGzip({ flush: constants.Z_SYNC_FLUSH }), response);
  else await pipeline(source, response);
}

async function write(
  request: IncomingMessage,
  response: ServerResponse,
  written: Written[],
  into: FakeApiServer | undefined,
): Promise<void> {
  let text = '';
  for await (const chunk of request) text += chunk;
  const { method = '', url = '' } = request;
  const body = JSON.parse(text);
  written.push({ method, path: url, contentType: request.headers['content-type'] ?? '', body });
  const status = into ? writeToApi(into, method, new URL(url, 'http://any').pathname, body) : 201;
  // As it was stored: clients in Go read it.
  response.writeHead(status, { 'content-type': 'application/json' }).end(text);
}
