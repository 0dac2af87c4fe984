/** HTTP to an API server over undici, as whom the credentials say. */

import { pipeline, type Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { createGunzip } from 'node:zlib';
import connect from 'undici/lib/api/api-connect.js';
import request from 'undici/lib/api/api-request.js';
import Agent from 'undici/lib/dispatcher/agent.js';
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
import Pool from 'undici/lib/dispatcher/pool.js';
import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js';
import { messageOf, PenstockError } from '../../errors.js';
import { type Clock, systemClock } from '../../time/Clock.js';
import type { Connection } from '../kubeconfig/Connection.js';
import type { Credentials, Identity } from '../kubeconfig/Credentials.js';
import { readRetryAfter } from './ApiError.js';
import type { ApiObserver } from './ApiObserver.js';
import type { ApiResponse, ApiTransport } from './ApiTransport.js';
import { Connecting } from './Connecting.js';

/** Milliseconds. */
const CONNECT_TIMEOUT = 10_000;
/** For an answer to what is sent. */
const SEND_TIMEOUT = 10_000;
const UNAUTHORIZED = 401;

// As the index of undici does; a ProxyAgent asks its proxy by connect().
Object.assign(Dispatcher.prototype, { request, connect });

export interface SendAnswer {
  readonly status: number;
  readonly retryAfterMs: number;
}

interface Request {
  readonly method: 'GET' | 'POST' | 'PATCH';
  readonly url: URL;
  /** Of the body. */
  readonly sentBytes: number;
  /** On the clock. */
  readonly started: number;
}

export class ApiClient implements ApiTransport {
  readonly server: string;
  readonly #connection: Connection;
  readonly #credentials: Credentials;
  readonly #userAgent: string;
  readonly #clock: Clock;
  readonly #connecting = new Connecting();
  #dispatcher: { readonly of: Identity; readonly dispatcher: Dispatcher } | undefined;
  observer: ApiObserver | undefined;

  constructor(connection: Connection, credentials: Credentials, userAgent: string, clock = systemClock) {
    this.#clock = clock;
    this.server = connection.server;
    this.#connection = connection;
    this.#credentials = credentials;
    this.#userAgent = userAgent;
    leaveParserPlain();
  }

  get(path: string, signal: AbortSignal): Promise<ApiResponse> {
    return untilAborted(this.#get(path, signal), signal);
  }

  async #get(path: string, signal: AbortSignal): Promise<ApiResponse> {
    const identity = await this.#credentials.identity();
    const response = await this.#request(path, identity, signal);
    if (response.status !== UNAUTHORIZED) return response;
    // The token may have been replaced a moment ago.
    this.#credentials.refused(identity);
    for await (const _ of response.body) break;
    return this.#request(path, await this.#credentials.identity(), signal);
  }

  /** Resolves to the status; what the server says beside is thrown away. Rejects as get(). */
  async send(method: 'POST' | 'PATCH', path: string, body: unknown): Promise<number> {
    return (await this.sendPatiently(method, path, body)).status;
  }

  /** The same with what the server asked to wait; 0 when it did not. */
  async sendPatiently(method: 'POST' | 'PATCH', path: string, body: unknown): Promise<SendAnswer> {
    const identity = await this.#credentials.identity();
    const answer = await this.#send(method, path, body, identity);
    if (answer.status !== UNAUTHORIZED) return answer;
    this.#credentials.refused(identity);
    return this.#send(method, path, body, await this.#credentials.identity());
  }

  async #send(
    method: 'POST' | 'PATCH',
    path: string,
    body: unknown,
    identity: Identity,
  ): Promise<SendAnswer> {
    const content = JSON.stringify(body);
    const request = this.#begin(method, path, Buffer.byteLength(content));
    const response = await this.#answer(request, identity, {
      headers: {
        ...this.#headers(identity),
        'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
      },
      body: content,
      headersTimeout: SEND_TIMEOUT,
      bodyTimeout: SEND_TIMEOUT,
    });
    try {
      for await (const _ of this.#observed(request, response.body));
    } catch (error) {
      throw unreachable(this.#connection, error);
    }
    const retryAfter = response.headers['retry-after'];
    return {
      status: response.statusCode,
      retryAfterMs: readRetryAfter(typeof retryAfter === 'string' ? retryAfter : undefined),
    };
  }

  #headers({ authorization }: Identity): Record<string, string> {
    const headers = { accept: 'application/json', 'user-agent': this.#userAgent };
    return authorization === undefined ? headers : { ...headers, authorization };
  }

  async close(): Promise<void> {
    const { dispatcher } = this.#dispatcher ?? {};
    this.#dispatcher = undefined;
    const destroyed = dispatcher?.destroy();
    this.#connecting.callOff();
    await destroyed;
  }

  async #request(path: string, identity: Identity, signal: AbortSignal): Promise<ApiResponse> {
    const request = this.#begin('GET', path, 0);
    const { statusCode, headers, body } = await this.#answer(request, identity, {
      headers: {
        ...this.#headers(identity),
        ...(this.#connection.compression === 'gzip' ? { 'accept-encoding': 'gzip' } : {}),
      },
      signal,
    });
    const retryAfter = headers['retry-after'];
    const plain = headers['content-encoding'] === 'gzip' ? unzipped(body) : body;
    return {
      status: statusCode,
      retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
      // A watch has no end of its own that would say anything.
      body: request.url.searchParams.has('watch') ? plain : this.#observed(request, plain),
    };
  }

  #begin(method: Request['method'], path: string, sentBytes: number): Request {
    return { method, url: new URL(this.server + path), sentBytes, started: this.#clock.now() };
  }

  async #answer(
    { method, url }: Request,
    identity: Identity,
    rest: Omit<Dispatcher.RequestOptions, 'method' | 'path' | 'origin'>,
  ): Promise<Dispatcher.ResponseData> {
    try {
      const path = url.pathname + url.search;
      const response = await this.#dispatcherFor(identity).request({
        ...rest,
        origin: url.origin,
        path,
        method,
      });
      this.observer?.answered(method, url.host, response.statusCode);
      return response;
    } catch (error) {
      this.observer?.answered(method, url.host, undefined);
      throw unreachable(this.#connection, error);
    }
  }

  async *#observed(
    { method, url, sentBytes, started }: Request,
    body: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    let receivedBytes = 0;
    try {
      for await (const chunk of body) {
        receivedBytes += chunk.length;
        yield chunk;
      }
    } finally {
      const milliseconds = this.#clock.now() - started;
      this.observer?.completed({ method, host: url.host, milliseconds, sentBytes, receivedBytes });
    }
  }

  /** Connections are kept until certificates change: those of a rotated identity end with their requests. */
  #dispatcherFor(identity: Identity): Dispatcher {
    const { of, dispatcher } = this.#dispatcher ?? {};
    if (of && dispatcher && of.cert === identity.cert && of.key === identity.key && of.ca === identity.ca)
      return dispatcher;
    void dispatcher?.close();
    const made = this.#makeDispatcher(identity);
    this.#dispatcher = { of: identity, dispatcher: made };
    return made;
  }

  #makeDispatcher({ ca, cert, key }: Identity): Dispatcher {
    const { tlsServerName, verify, proxy } = this.#connection;
    const tls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
      ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
      rejectUnauthorized: verify === 'certificate',
    };
    // A silent body is the business of list and watch, which know what to expect.
    const timing = { headersTimeout: 0, bodyTimeout: 0 };
    if (proxy !== undefined) {
      const connect = this.#connecting.connector({ timeout: CONNECT_TIMEOUT });
      // A proxy that takes connections and answers nothing would hold up all that come after.
      const clientFactory = (origin: URL) => new Pool(origin, { connect, headersTimeout: CONNECT_TIMEOUT });
      return new ProxyAgent({ uri: proxy, requestTls: tls, clientFactory, ...timing });
    }
    return new Agent({
      connect: this.#connecting.connector({ ...tls, timeout: CONNECT_TIMEOUT }),
      ...timing,
    });
  }
}

/**
 * undici reads answers with a parser in WebAssembly. V8 would optimise it during the first lists: 250 ms of a thread and 30 MB at each start,
 * for what takes a hundredth of reading them (bench/README.md).
 */
function leaveParserPlain(): void {
  setFlagsFromString('--no-wasm-dynamic-tiering');
  setFlagsFromString('--no-wasm-tier-up');
}

/** undici lets go of an aborted request only once its connection stands, or has failed. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function unzipped(body: Readable): Readable {
  // Errors of either side reach whoever reads; to leave off reading ends both.
  return pipeline(body, createGunzip(), () => undefined);
}

function unreachable(connection: Connection, error: unknown): PenstockError {
  const via = connection.proxy === undefined ? '' : ` through the proxy ${new URL(connection.proxy).host}`;
  const message = `no answer${via}: ${reasonOf(error)}`;
  return new PenstockError('PENSTOCK_API_UNREACHABLE', message, {
    cause: error,
    remedy: remedyOf(connection, error),
  });
}

/** Several addresses that were tried make an AggregateError without a message. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join(', ');
  return messageOf(error);
}

function remedyOf({ proxy }: Connection, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(code))
    return 'Check the CA of the connection, and that the certificate is for this name (tls-server-name).';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return 'Check the name of the server, and that this node can resolve it without cluster DNS.';
  if (proxy !== undefined)
    return 'Check that the proxy (proxy-url of the kubeconfig) runs, that it lets this node in, and that it reaches the API server.';
  return 'Check that the API server runs and that this node reaches it; the address must not be a cluster IP, which this agent serves.';
}
