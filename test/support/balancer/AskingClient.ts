/** A process that connects again and again while something else happens, and counts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { plain } from '../iptables.js';

const SCRIPT = `
const [host, port] = [process.argv[1], Number(process.argv[2])];
let [made, failed, going] = [0, 0, true];
const one = () => new Promise((resolve) => {
  const socket = require('net').connect({ host, port }, () => socket.write('x\\n'));
  const end = (good) => { clearTimeout(timer); socket.destroy(); resolve(good); };
  const timer = setTimeout(() => end(false), 5000);
  socket.on('data', () => end(true)).on('error', () => end(false)).on('close', () => end(false));
});
process.stdin.on('end', () => { going = false; }).resume();
(async () => {
  while (going) {
    made++;
    if (!(await one())) failed++;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  console.log(JSON.stringify({ made, failed }));
})();`;

export class AskingClient {
  readonly #child: ChildProcess;
  #output = '';

  constructor(host: string, port: number) {
    this.#child = spawn(...plain(process.execPath, '-e', SCRIPT, host, String(port)), {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.on('data', (chunk) => {
      this.#output += chunk;
    });
  }

  /** Resolves to how many connections were made, and how many had no answer within 5 s. */
  async stop(): Promise<{ readonly made: number; readonly failed: number }> {
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin?.end();
    await ended;
    return JSON.parse(this.#output);
  }
}
