/**
 * Nodes whose agent is silent: is it only the agent? A machine that lives refuses a TCP connection to the heartbeats' port, which
 * nothing listens on, and the rules that its agent left go on leading packets to its endpoints. While an agent is
 * replaced, restarted, or changes its mode, packets must not go elsewhere: the connections are there.
 */
import { connect } from 'node:net';
import type { IpAddress } from '../../net/ip.js';
import type { Clock } from '../../time/Clock.js';

/** Resolves with whether the machine said anything at all, a refusal included. */
export type AskMachine = (address: IpAddress, signal: AbortSignal) => Promise<boolean>;

/** Milliseconds in which an agent is to come back: what its rules say gets old. */
export const RESTART_MS = 30_000;
const EVERY_MS = 250;
/** Milliseconds until no answer is one. */
const ANSWER_MS = 1000;

interface Silent {
  readonly stop: () => void;
  answers: boolean;
}

export class SilentNodes {
  readonly #ask: AskMachine;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #silent = new Map<string, Silent>();

  /** `onChange`: answering() is another set now. */
  constructor(ask: AskMachine, clock: Clock, onChange: () => void) {
    this.#ask = ask;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Whole list: whom nobody hears, and where they are. */
  set(nodes: ReadonlyMap<string, IpAddress>): void {
    for (const [name, { stop }] of this.#silent) {
      if (nodes.has(name)) continue;
      stop();
      this.#silent.delete(name);
    }
    for (const [name, address] of nodes) if (!this.#silent.has(name)) this.#begin(name, address);
  }

  /** Those that have answered each time. One that failed to once may come back without rules: it has to be heard first. */
  get answering(): ReadonlySet<string> {
    return new Set([...this.#silent].filter(([, { answers }]) => answers).map(([name]) => name));
  }

  close(): void {
    this.set(new Map());
  }

  #begin(name: string, address: IpAddress): void {
    const began = this.#clock.now();
    let stop: () => void = () => {};
    const entry: Silent = { answers: false, stop: () => stop() };
    this.#silent.set(name, entry);
    const become = (answers: boolean) => {
      if (entry.answers === answers) return;
      entry.answers = answers;
      this.#onChange();
    };
    const ask = (): void => {
      const question = new AbortController();
      const cancel = this.#clock.after(ANSWER_MS, () => take(false));
      const take = (answers: boolean) => {
        if (question.signal.aborted) return;
        stop();
        if (answers && this.#clock.now() - began < RESTART_MS) {
          stop = this.#clock.after(EVERY_MS, ask);
          become(true);
        } else become(false);
      };
      stop = () => {
        cancel();
        question.abort();
      };
      this.#ask(address, question.signal).then(take, () => take(false));
    };
    ask();
  }
}

/** `port`: on which nothing listens. */
export function askMachine(port: number): AskMachine {
  return (host, signal) =>
    new Promise((resolve) => {
      const socket = connect({ host, port, signal });
      socket.on('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
    });
}
