/** Runs the selftest in namespaces of its own. They are gone when this process is, however it ends. */
import { spawn } from 'node:child_process';
import { PenstockError } from '../../../errors.js';
import type { NamespacesFound, NamespacesTask } from './insideNamespaces.js';
import { brokenWorld, ownCommand } from './Peer.js';

/** The first process of a process namespace: the kernel kills all others when it ends. */
const UNSHARE = ['--net', '--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
/** State, locks and named namespaces of this test only. */
const PRIVATE_RUN = 'mount -t tmpfs -o mode=755 selftest /run && exec "$@"';

export async function inNamespaces(task: NamespacesTask): Promise<NamespacesFound> {
  return inOwnNamespaces(ownCommand('selftest', '--role', 'inside', '--task', JSON.stringify(task)));
}

/** Runs a command that writes one JSON value, or `{ error, remedy }`. */
export async function inOwnNamespaces<T extends object>([program, words]: [string, string[]]): Promise<T> {
  if (process.getuid?.() !== 0)
    throw new PenstockError('PENSTOCK_NOT_PRIVILEGED', 'making network namespaces needs root', {
      remedy: 'Run it with sudo.',
    });
  // Its standard input is open as long as this process lives: its end is the sign to end.
  const child = spawn('unshare', [...UNSHARE, 'sh', '-c', PRIVATE_RUN, 'sh', program, ...words], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => {});
  const stop = () => child.kill('SIGKILL');
  process.once('SIGINT', stop).once('SIGTERM', stop).once('SIGHUP', stop);
  let output = '';
  let complaints = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    complaints = `${complaints}${chunk}`.slice(-2000);
  });
  const end = await new Promise<string>((resolve) => {
    child.once('error', ({ message }) => resolve(message));
    child.once('close', (code, signal) => resolve(signal ?? (code === 0 ? '' : `exit status ${code}`)));
  });
  process.off('SIGINT', stop).off('SIGTERM', stop).off('SIGHUP', stop);
  if (end !== '' || output === '') throw brokenWorld(`${complaints.trim() || end || 'nothing was said'}`);
  const found = JSON.parse(output) as T | { error: string; remedy?: string };
  if ('error' in found)
    throw new PenstockError(
      'PENSTOCK_CANNOT_TEST',
      found.error,
      found.remedy === undefined ? {} : { remedy: found.remedy },
    );
  return found;
}
