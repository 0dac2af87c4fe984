/** Starts and stops units of the system's systemd, which owns them: penstock starts no process of theirs. */
import { execFile } from 'node:child_process';
import { oneLine } from '../../net/oneLine.js';

export type Systemctl = (verb: 'start' | 'stop', unit: string) => Promise<string | undefined>;

/** systemd goes on with a job whose client is gone. */
const TIMEOUT_MS = 10_000;

/** Resolves to undefined when systemd has taken the job, else to why not. Never rejects. Does not wait for the job's end. */
export const systemctl: Systemctl = (verb, unit) =>
  new Promise((resolve) => {
    // `--`: a unit is a unit, whatever it is called.
    const words = ['--no-ask-password', '--no-block', verb, '--', unit];
    execFile('systemctl', words, { timeout: TIMEOUT_MS }, (error, _, stderr) => {
      if (error === null) resolve(undefined);
      else if (error.code === 'ENOENT') resolve('there is no systemctl');
      else resolve(oneLine(stderr.trim() || error.message));
    });
  });
