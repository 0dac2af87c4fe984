/**
 * gRPC over HTTP/2 (grpc.io: PROTOCOL-HTTP2.md) for few methods: one message comes in, one or more go out. No compression, which clients
 * use only where a server offers it.
 */
import {
  constants,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { messageOf } from '../../errors.js';
import { type Clock, every } from '../../time/Clock.js';

/** Codes of gRPC (google.rpc.Code). */
export const GrpcCode = {
  OK: 0,
  INVALID_ARGUMENT: 3,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;

export class GrpcError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** What a method answers. */
export interface GrpcAnswer {
  send(message: Uint8Array): void;
  end(): void;
  /** Ends with this in place of OK. */
  fail(error: GrpcError): void;
  /** The client does not listen any more. Called once; also after end(). */
  onClose(action: () => void): void;
}

/** Throws GrpcError. */
export type GrpcMethod = (request: Uint8Array, answer: GrpcAnswer) => void;

const PREFIX_BYTES = 5;
const LONGEST_REQUEST = 64 * 1024;
/** Milliseconds for a request to come in. */
const PATIENCE_MS = 10_000;
const MOST_SESSIONS = 64;
/** Also those that have not shown their certificate yet. */
const MOST_CONNECTIONS = 2 * MOST_SESSIONS;
/** A client that does not answer to a ping by the next is gone. */
const PING_MS = 30_000;
const MOST_STREAMS = 1000;
/** Of an answer that nobody reads. */
const MOST_UNREAD = 64 * 1024;

export class GrpcServer {
  readonly #server: Http2Server | Http2SecureServer;
  readonly #methods: ReadonlyMap<string, GrpcMethod>;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Also of those that are no session yet. */
  readonly #sockets = new Set<Socket>();
  /** Those that have not answered to the last ping. */
  readonly #silent = new Set<ServerHttp2Session>();
  readonly #endPings: () => void;

  /** `methods` by path, `/package.Service/Method`. `tls` undefined: as plain text. */
  constructor(methods: ReadonlyMap<string, GrpcMethod>, tls: SecureServerOptions | undefined, clock: Clock) {
    this.#methods = methods;
    const settings = { maxConcurrentStreams: MOST_STREAMS };
    this.#server =
      tls === undefined
        ? createServer({ settings })
        : createSecureServer({ ...tls, settings, handshakeTimeout: PATIENCE_MS });
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('session', (session) => this.#admit(session));
    this.#server.on('stream', (stream, headers) => this.#serve(stream, headers));
    // Of one client; the others are served.
    this.#server.on('sessionError', () => {});
    this.#endPings = every(clock, PING_MS, () => this.#ping());
  }

  /** Resolves to the port. Rejects with what the system says. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', () => {});
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  /** For whoever connects from now on. Throws what is wrong with it; then what was before holds. */
  renew(tls: SecureServerOptions): void {
    if (!('setSecureContext' in this.#server)) throw new TypeError('the server speaks plain text');
    createSecureContext(tls);
    this.#server.setSecureContext(tls);
  }

  /** Cuts off whoever is connected, whatever they do. */
  async close(): Promise<void> {
    this.#endPings();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #admit(session: ServerHttp2Session): void {
    if (this.#sessions.size >= MOST_SESSIONS) {
      session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      session.destroy();
      return;
    }
    this.#sessions.add(session);
    session.on('close', () => {
      this.#sessions.delete(session);
      this.#silent.delete(session);
    });
    session.on('error', () => {});
  }

  #ping(): void {
    for (const session of this.#silent) session.destroy();
    for (const session of this.#sessions) {
      if (session.destroyed || session.closed) continue;
      this.#silent.add(session);
      session.ping((error) => {
        if (error === null) this.#silent.delete(session);
      });
    }
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', () => {});
    stream.setTimeout(PATIENCE_MS, () => stream.close(constants.NGHTTP2_CANCEL));
    if (!headers['content-type']?.startsWith('application/grpc')) {
      stream.respond({ ':status': 415 }, { endStream: true });
      return;
    }
    const method = this.#methods.get(headers[':path'] ?? '');
    if (method === undefined) {
      refuse(stream, new GrpcError(GrpcCode.UNIMPLEMENTED, 'there is no such method'));
      return;
    }
    const chunks: Buffer[] = [];
    let length = 0;
    stream.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > LONGEST_REQUEST) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      else chunks.push(chunk);
    });
    stream.on('end', () => {
      if (stream.destroyed || stream.closed) return;
      stream.setTimeout(0);
      try {
        method(messageIn(Buffer.concat(chunks)), answerOn(stream));
      } catch (error) {
        refuse(stream, error);
      }
    });
  }
}

/** Throws GrpcError. */
function messageIn(body: Buffer): Uint8Array {
  if (body.length < PREFIX_BYTES || body.readUInt32BE(1) !== body.length - PREFIX_BYTES)
    throw new GrpcError(GrpcCode.INVALID_ARGUMENT, 'one message must come, and all of it');
  if (body[0] !== 0) throw new GrpcError(GrpcCode.UNIMPLEMENTED, 'compressed messages are not read');
  return body.subarray(PREFIX_BYTES);
}

function answerOn(stream: ServerHttp2Stream): GrpcAnswer {
  let failure: GrpcError | undefined;
  const begin = () => {
    if (stream.headersSent) return;
    stream.on('wantTrailers', () => stream.sendTrailers(statusOf(failure)));
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  };
  const isOver = () => stream.destroyed || stream.closed;
  const end = () => {
    if (isOver()) return;
    begin();
    stream.end();
  };
  return {
    send: (message) => {
      if (isOver()) return;
      begin();
      const prefix = Buffer.alloc(PREFIX_BYTES);
      prefix.writeUInt32BE(message.length, 1);
      stream.write(Buffer.concat([prefix, message]));
      if (stream.writableLength > MOST_UNREAD) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    },
    end,
    fail: (error) => {
      failure = error;
      end();
    },
    onClose: (action) => stream.once('close', action),
  };
}

function statusOf(error: GrpcError | undefined): Record<string, string> {
  if (error === undefined) return { 'grpc-status': String(GrpcCode.OK) };
  return { 'grpc-status': String(error.code), 'grpc-message': encodeURIComponent(error.message) };
}

function refuse(stream: ServerHttp2Stream, error: unknown): void {
  if (stream.destroyed || stream.closed) return;
  if (stream.headersSent) {
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return;
  }
  const failure = error instanceof GrpcError ? error : new GrpcError(GrpcCode.INTERNAL, messageOf(error));
  const headers = { ':status': 200, 'content-type': 'application/grpc', ...statusOf(failure) };
  stream.respond(headers, { endStream: true });
}
