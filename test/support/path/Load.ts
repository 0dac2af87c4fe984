/** Requests at a steady rate from another process (scripts/lib/load.mjs), as the test's own is busy with what happens meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { fromRoot } from '../fromRoot.js';
import { plain } from '../iptables.js';
import { CLIENT } from './PathWorld.js';
import { EDGE_VIP } from './pathObjects.js';

export interface LoadReport {
  readonly asked: number;
  readonly failed: number;
  /** Failure → how often. */
  readonly why: Readonly<Record<string, number>>;
  /** Milliseconds: the longest time without a good answer. */
  readonly gapMs: number;
  /** Milliseconds since 1970: when the last one of those that failed was asked; 0 when none did. */
  readonly lastFailure: number;
  readonly p50: number;
  readonly p99: number;
  /** Asked each second. */
  readonly rate: number;
  /** Pod → answers. */
  readonly by: Readonly<Record<string, number>>;
}

export class Load {
  readonly #process: ChildProcess;
  readonly #ended: Promise<string>;

  private constructor(process: ChildProcess, ended: Promise<string>) {
    this.#process = process;
    this.#ended = ended;
  }

  /** Resolves when it asks. */
  static async begin(rate: number, host = 'shop.example'): Promise<Load> {
    const program = fileURLToPath(fromRoot('scripts/lib/load.mjs'));
    const command = plain(process.execPath, program, `http://${EDGE_VIP}/`, String(rate), host, CLIENT);
    const started = spawn(...command, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    const ended = new Promise<string>((resolve) => started.once('close', () => resolve(text)));
    const asking = new Promise<void>((resolve) =>
      started.stdout?.on('data', (chunk) => {
        text += chunk;
        if (text.startsWith('asking\n')) resolve();
      }),
    );
    await Promise.race([asking, ended]);
    return new Load(started, ended);
  }

  async stop(): Promise<LoadReport> {
    this.#process.kill('SIGTERM');
    return JSON.parse((await this.#ended).replace('asking\n', '')) as LoadReport;
  }
}
