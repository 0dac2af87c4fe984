/** Asks a running agent over its admin socket. */
import { lstatSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { PenstockError } from '../../errors.js';
import { networkNamespaceKey } from '../../kernel/host/networkNamespaceKey.js';
import { adminSockets } from '../../kernel/host/stateFiles.js';
import type { AgentStatus } from '../../observe/admin/AgentStatus.js';

/** Milliseconds without an answer. */
const PATIENCE_MS = 5000;

export class AgentClient {
  readonly path: string;
  /** As it was when the agent was found. */
  readonly status: AgentStatus;

  private constructor(path: string, status: AgentStatus) {
    this.path = path;
    this.status = status;
  }

  /** The agent of this network namespace; undefined when none answers. */
  static async find(paths = adminSockets()): Promise<AgentClient | undefined> {
    for (const path of paths) {
      if (!isRoots(path)) continue;
      try {
        const status = (await ask(path, '/v1/status')) as AgentStatus;
        if (status.networkNamespace === networkNamespaceKey()) return new AgentClient(path, status);
      } catch (error) {
        if (error instanceof PenstockError) throw error;
      }
    }
    return undefined;
  }

  /** Rejects with PENSTOCK_NO_AGENT when it goes meanwhile, with PENSTOCK_WRONG_CALL for what it cannot make out. */
  ask(path: string, words: Readonly<Record<string, string>> = {}): Promise<unknown> {
    return ask(this.path, `${path}?${new URLSearchParams(words)}`).catch((error: unknown) => {
      if (error instanceof PenstockError) throw error;
      throw gone(error);
    });
  }

  /** Takes each line as it comes; resolves when the agent ends or the process is interrupted. */
  async follow(path: string, take: (value: unknown) => void): Promise<void> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      get({ socketPath: this.path, path: `${path}?follow=1` }, resolve).on('error', reject);
    });
    const stop = () => response.destroy();
    process.once('SIGINT', stop).once('SIGTERM', stop);
    response.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of response) {
        const lines = `${rest}${chunk}`.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line !== '') take(JSON.parse(line));
      }
    } catch {
      // Interrupted, or the agent is gone: there is no more to tell.
    }
  }

  /** Every row of a list, page by page. */
  async list<Row>(path: string, words: Readonly<Record<string, string>> = {}): Promise<Row[]> {
    const rows: Row[] = [];
    let after = '';
    do {
      const page = (await this.ask(path, { ...words, after })) as { items: Row[]; next: string };
      rows.push(...page.items);
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

function gone(cause: unknown): PenstockError {
  return new PenstockError('PENSTOCK_NO_AGENT', 'the agent ended while it was asked', {
    cause,
    remedy: 'Ask again; `penstock status` says whether one runs.',
  });
}

function ask(socketPath: string, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const request = get({ socketPath, path, timeout: PATIENCE_MS }, (response) => {
      collect(response).then((text) => {
        const value = JSON.parse(text) as { error?: string; remedy?: string };
        if (response.statusCode === 200) resolve(value);
        else reject(refused(value.error ?? 'the agent did not understand', value.remedy));
      }, reject);
    });
    request.on('timeout', () => request.destroy(new Error('the agent does not answer')));
    request.on('error', reject);
  });
}

function refused(message: string, remedy: string | undefined): PenstockError {
  return new PenstockError('PENSTOCK_WRONG_CALL', message, remedy === undefined ? {} : { remedy });
}

async function collect(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}
