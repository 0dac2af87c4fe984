// Programs that the tests are, and their end with ours.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';

const children = new Set();

/**
 * Runs a program in a process group of its own, with what it prints in a file. Resolves with its exit status, 128 when
 * a signal ended it. After `seconds` the group is ended.
 */
export async function command(program, args, { log, seconds, env = {}, under = [] }) {
  const [first, ...rest] = [...under, program, ...args];
  const file = createWriteStream(log);
  const child = spawn(first, rest, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  children.add(child);
  for (const stream of [child.stdout, child.stderr]) stream.pipe(file, { end: false });
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch {}
  };
  // scripts/vm has a machine to end.
  const terms = setTimeout(() => signal('SIGTERM'), seconds * 1000);
  const kills = setTimeout(() => signal('SIGKILL'), (seconds + 5) * 1000);
  const status = await new Promise((resolve) => {
    child.on('error', (error) => {
      file.write(`${error.message}\n`);
      resolve(127);
    });
    // What a test left running may hold the pipes open.
    child.on('exit', (code) => setTimeout(resolve, 100, code ?? 128));
  });
  clearTimeout(terms);
  clearTimeout(kills);
  children.delete(child);
  signal('SIGKILL');
  file.end();
  await finished(file);
  return status;
}

/** Whatever runs ends. */
export function endAll() {
  for (const { pid } of children) {
    try {
      process.kill(-pid, 'SIGTERM');
    } catch {}
  }
}
