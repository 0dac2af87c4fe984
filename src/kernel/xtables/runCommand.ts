/** Starts a program, feeds its standard input in pieces and collects what it says. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export interface CommandResult {
  /** Exit status; 128 + signal number when it was killed. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type ProgramRunner = (
  program: string,
  args: readonly string[],
  options?: { readonly input?: Iterable<string>; readonly timeoutMs?: number },
) => Promise<CommandResult>;

/** Added to the number of the signal that ended a program, as shells do. */
export const STATUS_OF_SIGNAL = 128;

/** Rejects when the program cannot be started (ENOENT, EACCES, EMFILE, EAGAIN). After `timeoutMs` it is killed. */
export const runCommand: ProgramRunner = (program, args, { input = [], timeoutMs = 300_000 } = {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    // Without descriptors there are no streams either; the error follows.
    if (child.stdin === undefined || child.stdout === undefined || child.stderr === undefined) return;
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      resolve({
        status: status ?? STATUS_OF_SIGNAL + constants.signals[signal ?? 'SIGKILL'],
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
      });
    });
    // A tool that gives up early closes its input; its status and words tell why, EPIPE does not.
    pipeline(Readable.from(input), child.stdin).catch(() => {});
  });
