/** Asks a running agent over its admin socket. */
import { lstatSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { append } from '../../append.js';
import { messageOf, PenstockError } from '../../errors.js';
import { networkNamespaceKey } from '../../kernel/host/networkNamespaceKey.js';
import { adminSockets } from '../../kernel/host/stateFiles.js';
import type { AgentStatus } from '../../observe/admin/AgentStatus.js';
import { WrongCall } from '../readArguments.js';

/** Milliseconds without an answer. */
const PATIENCE_MS = 5000;
/** The same of what the agent works out in turns, on a machine that others want as well. */
const WORK_PATIENCE_MS = 30_000;

/** Node.js asks otherwise whether the host is an address, by an expression that takes V8 longer to compile than the agent to answer. */
const NAMELESS = { servername: '' };

export class AgentClient {
  readonly path: string;
  /** As it was when the agent was found. */
  readonly status: AgentStatus;

  private constructor(path: string, status: AgentStatus) {
    this.path = path;
    this.status = status;
  }

  /** The agent of this network namespace; undefined when none answers. Rejects with PENSTOCK_NOT_PRIVILEGED. */
  static async find(paths = adminSockets()): Promise<AgentClient | undefined> {
    for (const path of paths) {
      try {
        if (!isRoots(path)) continue;
        const status = (await ask(path, '/v1/status')) as AgentStatus;
        if (status.networkNamespace === networkNamespaceKey()) return new AgentClient(path, status);
      } catch (error) {
        if (isForbidden(error)) throw notPrivileged(path, error);
        if (error instanceof WrongCall) throw error;
      }
    }
    return undefined;
  }

  /** Rejects with PENSTOCK_NO_AGENT when it goes meanwhile or fails, with WrongCall for what it cannot make out. */
  ask(path: string, words: Readonly<Record<string, string>> = {}): Promise<unknown> {
    return ask(this.path, `${path}?${new URLSearchParams(words)}`);
  }

  /**
   * Takes each line of an answer that takes work. False when the agent, which is of another version, has no such path. Rejects with
   * PENSTOCK_NO_AGENT, also when the agent ends meanwhile.
   */
  async linesOfWork(path: string, take: (value: unknown) => void): Promise<boolean> {
    const response = await request(this.path, path, WORK_PATIENCE_MS);
    if (response.statusCode === 404) {
      response.destroy();
      return false;
    }
    if (response.statusCode !== 200) answerOf(response, readJson(await collect(response), this.path));
    await eachLineOfAgent(response, (line) => take(readJson(line, this.path)));
    return true;
  }

  /**
   * Takes each line as it comes. Resolves when `gone` says so or the process is interrupted; rejects with PENSTOCK_NO_AGENT when
   * the agent ends.
   */
  async follow(path: string, take: (value: unknown) => void, gone?: AbortSignal): Promise<void> {
    const response = await request(this.path, `${path}?follow=1`, 'for as long as it takes');
    let isInterrupted = false;
    const stop = () => {
      isInterrupted = true;
      response.destroy();
    };
    if (gone?.aborted) stop();
    gone?.addEventListener('abort', stop);
    process.once('SIGINT', stop).once('SIGTERM', stop);
    try {
      await eachLine(response, (line) => take(readJson(line, this.path)));
    } catch (error) {
      if (error instanceof PenstockError) throw error;
    } finally {
      process.off('SIGINT', stop).off('SIGTERM', stop);
    }
    if (!isInterrupted) throw noAgent('the agent has ended');
  }

  /** Takes each line of an answer that ends, as text. Rejects with PENSTOCK_NO_AGENT, also when the agent ends meanwhile. */
  async lines(path: string, take: (line: string) => void): Promise<void> {
    const response = await request(this.path, path, PATIENCE_MS);
    if (response.statusCode !== 200)
      throw noAgent('the agent, which is of another version, does not know what is asked');
    await eachLineOfAgent(response, take);
  }

  /** Every row of a list, page by page. */
  async list<Row>(path: string, words: Readonly<Record<string, string>> = {}): Promise<Row[]> {
    const rows: Row[] = [];
    let after = '';
    do {
      const page = (await this.ask(path, { ...words, after })) as { items: Row[]; next: string };
      append(rows, page.items);
      after = page.next;
    } while (after !== '');
    return rows;
  }
}

/** Whoever else put a socket there is no agent. */
function isRoots(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isSocket() === true && (found.uid === 0 || found.uid === process.getuid?.());
}

/** Of the folder, or of the socket. */
function isForbidden(error: unknown): boolean {
  const cause = error instanceof PenstockError ? error.cause : error;
  return ['EACCES', 'EPERM'].includes((cause as NodeJS.ErrnoException | undefined)?.code ?? '');
}

export function notPrivileged(path: string, cause: unknown): PenstockError {
  return new PenstockError('PENSTOCK_NOT_PRIVILEGED', `only root may ask the agent of this node (${path})`, {
    cause,
    remedy: 'Use sudo; or say where objects are: --manifests PATH, --kubeconfig FILE or --config FILE.',
  });
}

function noAgent(message: string, cause?: unknown): PenstockError {
  return new PenstockError('PENSTOCK_NO_AGENT', message, {
    cause,
    remedy: 'Ask again; `penstock status` says whether one runs.',
  });
}

async function ask(socketPath: string, path: string): Promise<unknown> {
  const response = await request(socketPath, path, PATIENCE_MS);
  return answerOf(response, readJson(await collect(response), socketPath));
}

function answerOf(response: IncomingMessage, value: unknown): unknown {
  if (response.statusCode === 200) return value;
  const { error, remedy } = value as Readonly<Record<string, unknown>>;
  const message = typeof error === 'string' ? error : 'it did not say why';
  // It was asked in a way that it does not take; all else is its own fault.
  if (response.statusCode === 400)
    throw new WrongCall(message, typeof remedy === 'string' ? remedy : undefined);
  throw noAgent(`the agent cannot answer: ${message}`);
}

/** Resolves when the answer begins. `patience`: milliseconds without a byte of it. */
function request(
  socketPath: string,
  path: string,
  patience: number | 'for as long as it takes',
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const limit = typeof patience === 'number' ? { timeout: patience } : {};
    const asked = get({ socketPath, path, ...NAMELESS, ...limit }, (response) =>
      resolve(response.setEncoding('utf8')),
    );
    asked.on('timeout', () => asked.destroy(new Error('it does not answer')));
    asked.on('error', (cause) => reject(noAgent(`the agent cannot be asked: ${messageOf(cause)}`, cause)));
  });
}

/** Lines that are whole and not empty. Rejects as reading does, and with what `take` throws. */
async function eachLine(response: IncomingMessage, take: (line: string) => void): Promise<void> {
  let rest = '';
  for await (const chunk of response) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') take(line);
  }
}

/** The same; rejects with PENSTOCK_NO_AGENT when reading fails. */
async function eachLineOfAgent(response: IncomingMessage, take: (line: string) => void): Promise<void> {
  try {
    await eachLine(response, take);
  } catch (cause) {
    if (cause instanceof PenstockError) throw cause;
    throw noAgent('the agent ended while it was asked', cause);
  }
}

async function collect(response: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of response) text += chunk;
  } catch (cause) {
    throw noAgent('the agent ended while it was asked', cause);
  }
  return text;
}

/** An object. */
function readJson(text: string, path: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw noAgent(`what answers at ${path} is no agent of penstock`);
}
