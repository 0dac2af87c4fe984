/** Traffic without pause, which counts what breaks: connections that stay, and new ones all the time. */
import { connect, type Socket } from 'node:net';
import { dial, type Target } from './dial.js';

export interface TrafficTargets {
  /** Connections that stay are made to the first of them that is TCP. */
  readonly targets: readonly Target[];
  readonly held: number;
}

export interface TrafficReport {
  readonly type: 'traffic';
  /** New connections, to all targets in turn. */
  readonly connects: number;
  readonly failed: number;
  /** Connections that were there before. */
  readonly held: number;
  readonly broken: number;
  /** What happened to the first of them that failed or broke, each once: `TCP 10.96.0.10:80: refused`. */
  readonly reasons: readonly string[];
}

/** Milliseconds between new connections, between words on those that stay, and without an answer. */
const NEW_EVERY_MS = 10;
const WORD_EVERY_MS = 100;
const PATIENCE_MS = 3000;
/** No more than this many wait for an answer at once. */
const MOST_WAITING = 256;
const MOST_REASONS = 5;

export class Traffic {
  readonly #targets: readonly Target[];
  readonly #held: HeldConnection[] = [];
  readonly #waiting = new Set<Promise<void>>();
  readonly #reasons = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  #connects = 0;
  #failed = 0;

  /** Rejects when a connection that is to stay cannot be made. */
  static async begin({ targets, held }: TrafficTargets): Promise<Traffic> {
    const traffic = new Traffic(targets);
    const to = targets.find(({ protocol }) => protocol === 'TCP');
    for (let i = 0; to && i < held; i++) traffic.#held.push(await HeldConnection.make(to));
    return traffic;
  }

  private constructor(targets: readonly Target[]) {
    this.#targets = targets;
    this.#timer = setInterval(() => this.#next(), NEW_EVERY_MS);
  }

  #next(): void {
    const target = this.#targets[this.#connects % this.#targets.length];
    if (!target || this.#waiting.size >= MOST_WAITING) return;
    this.#connects++;
    const one = dial({ target, patience: PATIENCE_MS, listen: true }).then((answer) => {
      this.#waiting.delete(one);
      if (answer.type === 'answered') return;
      this.#failed++;
      this.#note(`new, ${nameOf(target)}: ${answer.type === 'broken' ? answer.why : answer.type}`);
    });
    this.#waiting.add(one);
  }

  #note(reason: string): void {
    if (this.#reasons.size < MOST_REASONS) this.#reasons.add(reason);
  }

  /** Waits for what is under way. */
  async end(): Promise<TrafficReport> {
    clearInterval(this.#timer);
    await Promise.all(this.#waiting);
    const ends = await Promise.all(this.#held.map((connection) => connection.end()));
    for (const why of ends) if (why !== undefined) this.#note(`established, ${why}`);
    return {
      type: 'traffic',
      connects: this.#connects,
      failed: this.#failed,
      held: this.#held.length,
      broken: ends.filter((why) => why !== undefined).length,
      reasons: [...this.#reasons],
    };
  }
}

/** Says a word now and then, and wants it back. */
class HeldConnection {
  readonly #socket: Socket;
  readonly #name: string;
  readonly #timer: NodeJS.Timeout;
  #said = 0;
  #heard = 0;
  #broken: string | undefined;

  static make(target: Target): Promise<HeldConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: target.host, port: target.port });
      socket.once('error', reject);
      socket.once('data', () => {
        socket.off('error', reject);
        resolve(new HeldConnection(socket, nameOf(target)));
      });
    });
  }

  private constructor(socket: Socket, name: string) {
    this.#socket = socket;
    this.#name = name;
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      this.#broken ??= code ?? 'broken';
    });
    socket.on('close', () => {
      this.#broken ??= 'closed';
    });
    socket.on('data', ({ length }) => {
      this.#heard += length;
    });
    this.#timer = setInterval(() => {
      if (socket.writable && socket.write('x')) this.#said++;
    }, WORD_EVERY_MS);
  }

  /** Resolves to what broke it. */
  async end(): Promise<string | undefined> {
    clearInterval(this.#timer);
    const deadline = performance.now() + PATIENCE_MS;
    while (this.#broken === undefined && this.#heard < this.#said && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20));
    if (this.#heard < this.#said) this.#broken ??= 'silent';
    const why = this.#broken;
    this.#socket.destroy();
    return why === undefined ? undefined : `${this.#name}: ${why}`;
  }
}

function nameOf({ protocol, host, port }: Target): string {
  return `${protocol} ${host.includes(':') ? `[${host}]` : host}:${port}`;
}
