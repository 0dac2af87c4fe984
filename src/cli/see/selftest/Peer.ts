/** A process of the selftest in another network namespace, as this process sees it. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { PenstockError } from '../../../errors.js';
import type { DialAnswer, DialOptions } from './dial.js';
import type { PeerAnswer, PeerQuestion } from './runPeer.js';
import type { TrafficReport, TrafficTargets } from './Traffic.js';

/** This program, called again with other words. */
export function ownCommand(...words: readonly string[]): [string, string[]] {
  const [, program = ''] = process.argv;
  return [process.execPath, [...process.execArgv, program, ...words]];
}

export class Peer {
  readonly name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting = new Map<number, { resolve(answer: PeerAnswer): void; reject(error: Error): void }>();
  #next = 1;

  /** `namespace`: a name that `ip netns` knows. `command`: what runs in it. */
  constructor(namespace: string, [program, words] = ownCommand('selftest', '--role', 'peer')) {
    this.name = namespace;
    this.#child = spawn('ip', ['netns', 'exec', namespace, program, ...words], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdin.on('error', () => {});
    this.#child.once('error', () => this.#gone()).once('close', () => this.#gone());
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const { id, answer } = JSON.parse(line) as { id: number; answer: PeerAnswer };
      this.#waiting.get(id)?.resolve(answer);
      this.#waiting.delete(id);
    });
  }

  async serve(addresses: readonly string[]): Promise<void> {
    await this.#ask({ do: 'serve', addresses });
  }

  async dial(options: DialOptions): Promise<DialAnswer> {
    return (await this.#ask({ do: 'dial', options })) as DialAnswer;
  }

  async beginTraffic(targets: TrafficTargets): Promise<void> {
    await this.#ask({ do: 'begin', targets });
  }

  async endTraffic(): Promise<TrafficReport> {
    return (await this.#ask({ do: 'end' })) as TrafficReport;
  }

  async #ask(question: PeerQuestion): Promise<PeerAnswer> {
    const id = this.#next++;
    const answer = await new Promise<PeerAnswer>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ id, question })}\n`);
    });
    if ('error' in answer) throw brokenWorld(`${this.name}: ${answer.error}`);
    return answer;
  }

  #gone(): void {
    for (const { reject } of this.#waiting.values()) reject(brokenWorld(`${this.name} ended`));
    this.#waiting.clear();
  }
}

export function brokenWorld(what: string, cause?: unknown): PenstockError {
  return new PenstockError('PENSTOCK_CANNOT_TEST', `the namespaces of the selftest: ${what}`, {
    cause,
    remedy:
      'They need root, iproute2 and a kernel with network namespaces and veth; `penstock doctor` looks.',
  });
}
