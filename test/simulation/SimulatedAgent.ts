/** One process of the agent on a simulated host: src/agent/serveNode.ts with all that it puts together. */
import pino from 'pino';
import { serveNode } from '../../src/agent/serveNode.js';
import type { Run } from '../../src/config/flags/parseRunCommand.js';
import { runFile } from '../unit/config/runCommand.js';
import { NODE } from './Cluster.js';
import type { Mode } from './modes.js';
import { type SimulatedNodeHost, simulatedNodeHost } from './simulatedNodeHost.js';
import type { World } from './World.js';

export class SimulatedAgent {
  readonly process: number;
  /** The one that was opened last. */
  mode: Mode;
  hasEnded = false;
  /** Why the process ended by itself. */
  failure: string | undefined;
  readonly #world: World;
  readonly #node: SimulatedNodeHost;

  /** `opening` hears of each mode that the process opens. */
  constructor(world: World, opening: (mode: Mode) => void = () => {}) {
    const { host } = world;
    this.#world = world;
    this.process = host.begin();
    this.mode = runOf(host.disk.config).config.mode || 'nftables';
    this.#node = simulatedNodeHost(
      world,
      this.process,
      (mode) => {
        this.mode = mode;
        opening(mode);
      },
      () => this.#exit(),
    );
  }

  /** It serves until it is asked to end. */
  start(): void {
    const { host, say } = this.#world;
    const parse = () => runOf(host.disk.config);
    serveNode({ run: parse(), parse, version: '1.0.0', log: logTo(say), host: this.#node }).then(
      () => {
        this.hasEnded = true;
      },
      (error: unknown) => this.#fail(String(error)),
    );
  }

  signal(name: 'SIGTERM' | 'SIGHUP'): void {
    this.#node.signal(name);
  }

  kill(): void {
    this.#world.host.kill();
  }

  /** What is open, in words. */
  get leftOver(): readonly string[] {
    const { time, host } = this.#world;
    const sockets = host.kernel.leftOver().length;
    return [
      ...time.pending(this.process).map((milliseconds) => `a timer, in ${milliseconds} ms`),
      ...(sockets > 0 ? [`${sockets} netlink sockets`] : []),
      ...host.listeners.places().map((place) => `a server on ${place}`),
      ...this.#node.open.names,
    ];
  }

  /** Something hangs at its end: the kernel may not have answered, but never without a reason. */
  #exit(): void {
    if (this.#world.host.weather.failures === 0) this.#fail('something does not end');
    this.hasEnded = true;
    this.kill();
  }

  #fail(why: string): void {
    this.hasEnded = true;
    this.failure ??= why;
  }
}

export function configText(mode: Mode): string {
  return `mode: ${mode}\nhostnameOverride: ${NODE}\n`;
}

/** To parse one costs as much as a sync, and there are few. */
const RUNS = new Map<string, Run>();

/** Throws what is wrong with the text. */
function runOf(text: string): Run {
  const known = RUNS.get(text);
  if (known) return known;
  const run = runFile(text);
  RUNS.set(text, run);
  return run;
}

const SILENT = pino({ level: 'silent' });

function logTo(say: ((line: string) => void) | undefined): pino.Logger {
  // The agent sets the level that its configuration names.
  if (!say) return Object.create(SILENT, { level: { value: 'silent', writable: true } }) as pino.Logger;
  return pino({ level: 'info', base: null, timestamp: false }, { write: say });
}
