/**
 * The admin socket: HTTP and JSON over a Unix socket that root alone may open, read only. Its folder and its mode are the
 * check of the peer: the kernel lets nobody connect who may not write to the socket.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { messageOf, PenstockError } from '../../errors.js';
import { WorkTurns } from '../metrics/WorkTurns.js';
import { AdminQuestion, UnknownPath } from './AdminQuestion.js';

/**
 * What is asked for → what is answered. `lines`: one JSON text each, made as the reader takes them; none for undefined. `follow`: they are written as
 * they come, until the reader goes.
 */
export type AdminAnswer =
  | { readonly json: unknown }
  | { readonly lines: Iterable<unknown> }
  | { readonly follow: (line: (value: unknown) => void) => () => void };
export type AdminApi = (question: AdminQuestion) => AdminAnswer | Promise<AdminAnswer>;

/** Commands of people at once. */
const MOST_CONNECTIONS = 32;
const LIMITS = {
  headersTimeout: 2000,
  requestTimeout: 5000,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 8192,
};
/** Bytes that a reader who follows may leave unread. */
const MOST_UNREAD = 1024 * 1024;

/** Takes a file until the process ends; how to let go of it. Undefined: another process has it. Throws what the file system says. */
export type ClaimFile = (file: string) => (() => void) | undefined;

/** Beside a socket: who has this file has the socket. */
export function adminLock(path: string): string {
  return `${path}.lock`;
}

export class AdminServer {
  readonly path: string;
  readonly #server: Server;
  readonly #release: () => void;

  private constructor(server: Server, path: string, release: () => void) {
    this.#server = server;
    this.path = path;
    this.#release = release;
  }

  /**
   * On the first of the paths that no living agent has. `claim` takes a file until its process ends, or says undefined: of two agents that start at
   * the same time, in namespaces of their own with one /run, none can tell by asking that the other is about to listen. Rejects with
   * PENSTOCK_CANNOT_BIND.
   */
  static async open(paths: readonly string[], api: AdminApi, claim: ClaimFile): Promise<AdminServer> {
    let reason: unknown;
    for (const path of paths) {
      let release: (() => void) | undefined;
      try {
        prepareFolder(dirname(path));
        release = claim(adminLock(path));
        // An older agent claims nothing.
        if (release === undefined || (await answers(path))) throw new Error('another agent answers there');
        return await AdminServer.#listen(path, api, release);
      } catch (error) {
        release?.();
        reason = error;
      }
    }
    throw new PenstockError(
      'PENSTOCK_CANNOT_BIND',
      `admin socket ${paths.join(', ')}: ${messageOf(reason)}`,
      {
        cause: reason,
        remedy: 'Commands that look at this agent then read the kernel and the API server themselves.',
      },
    );
  }

  static async #listen(path: string, api: AdminApi, release: () => void): Promise<AdminServer> {
    rmSync(path, { force: true });
    const server = createServer(LIMITS, (request, response) => void answer(api, request, response));
    server.maxConnections = MOST_CONNECTIONS;
    // Nobody but root at any moment: the socket is made with the mask, not only changed afterwards.
    const before = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(path, resolve);
        process.umask(before);
      });
    } finally {
      process.umask(before);
    }
    try {
      chmodSync(path, 0o600);
    } catch (error) {
      server.close();
      throw error;
    }
    server.on('error', () => {});
    return new AdminServer(server, path, release);
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    rmSync(this.path, { force: true });
    this.#release();
  }
}

/** In a folder that others may write to they could put a socket of theirs in the place of ours, unless the sticky bit is set. */
function prepareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const { mode, uid } = lstatSync(folder);
  if (uid !== process.getuid?.() && uid !== 0) throw new Error(`${folder} belongs to user ${uid}`);
  const isShared = (mode & 0o022) !== 0 && (mode & 0o1000) === 0;
  if (isShared) throw new Error(`${folder} may be written to by others than its owner`);
}

/** Whether a living process listens there; what one that was killed has left does not. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => end(true));
    // EAGAIN: so many wait that no more may.
    socket
      .once('connect', () => end(true))
      .once('error', ({ code }: NodeJS.ErrnoException) => end(code === 'EAGAIN'));
  });
}

async function answer(api: AdminApi, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const send = (status: number, value: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`);
  };
  if (request.method !== 'GET') {
    send(405, { error: 'this socket is read only: GET' });
    return;
  }
  try {
    const answered = await api(new AdminQuestion(request.url ?? '/'));
    if ('json' in answered) send(200, answered.json);
    else if ('lines' in answered) await writeLines(answered.lines, response);
    else follow(answered.follow, response);
  } catch (error) {
    if (response.headersSent) response.destroy();
    else if (error instanceof UnknownPath) send(404, { error: error.message });
    else if (error instanceof PenstockError) send(400, { error: error.message, remedy: error.remedy });
    else send(500, { error: messageOf(error) });
  }
}

/** Characters that are gathered before they are written. */
const WRITTEN_AT_ONCE = 65_536;

/** In turns: a line may be long. */
async function writeLines(lines: Iterable<unknown>, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/jsonl' });
  const turns = new WorkTurns();
  let text = '';
  for (const line of lines) {
    if (turns.isOver()) await turns.next();
    if (line === undefined) continue;
    text += `${JSON.stringify(line)}\n`;
    if (text.length < WRITTEN_AT_ONCE) continue;
    if (response.destroyed) return;
    const isTaken = response.write(text);
    text = '';
    if (!isTaken) await drained(response);
  }
  response.end(text);
}

/** Resolves when there is room again, or nobody reads any more. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.once('drain', done).once('close', done);
  });
}

/** A reader who is slower than what happens loses lines, and is told how many by the gap in their numbers. */
function follow(start: (line: (value: unknown) => void) => () => void, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/jsonl' });
  response.flushHeaders();
  const stop = start((value) => {
    if (response.writableLength < MOST_UNREAD) response.write(`${JSON.stringify(value)}\n`);
  });
  response.once('close', stop);
}
