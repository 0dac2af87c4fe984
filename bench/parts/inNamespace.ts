/** Measurements run in processes and network namespaces of their own. */
import { spawn } from 'node:child_process';

/** Runs a file of bench/ with arguments; resolves with the last line that it prints. */
export function inNamespace(file: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('unshare', ['-n', process.execPath, file, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.on('close', (status) => {
      if (status === 0) resolve(output.trim().split('\n').at(-1) ?? '');
      else reject(new Error(`${args.join(' ')} ended with status ${status}`));
    });
  });
}
