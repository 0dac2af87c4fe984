/** Programs that are ended at one of their steps: a message to the kernel, a change of a file, the start of a program. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Sfc32 } from '../../src/balancing/pick/Sfc32.js';
import { type AgentProcess, PENSTOCK, status } from './AgentProcess.js';
import { eventually, plain } from './iptables.js';

export type Ending = 'SIGKILL' | 'SIGTERM';

const INJECTION = fileURLToPath(new URL('./injectFault.js', import.meta.url));

export interface Fault {
  /** From 1. */
  readonly step: number;
  readonly signal: Ending;
  /** Steps count from when this file is there. */
  readonly after?: string;
}

/** Any of the first `steps`. */
export function drawFault(random: Sfc32, steps: number, signals: readonly Ending[]): Fault {
  return { step: 1 + random.below(steps), signal: signals[random.below(signals.length)] ?? 'SIGKILL' };
}

/** What comes before the program. */
export function interrupted({ step, signal, after }: Fault): string[] {
  return [
    'env',
    `NODE_OPTIONS=--import=${INJECTION}`,
    `FAULT_AT=${step}`,
    `FAULT_SIGNAL=${signal}`,
    ...(after === undefined ? [] : [`FAULT_AFTER=${after}`]),
  ];
}

export interface Ended {
  /** The exit status, or the signal. */
  readonly code: number | string;
  readonly output: string;
}

/** A command of penstock, to its end. `under`: what comes before it. */
export async function command(words: string, under: readonly string[] = []): Promise<Ended> {
  const child = spawn(...plain(...under, PENSTOCK, ...words.split(' ')), {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return outcome(child);
}

function outcome(child: ChildProcess): Promise<Ended> {
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => {
      output += chunk;
    });
  return new Promise((resolve) =>
    child.once('close', (code, signal) => resolve({ code: code ?? signal ?? -1, output })),
  );
}

/** Until the agent is ready, has left, or has ended. True when it runs. */
export async function settles(agent: AgentProcess): Promise<boolean> {
  const isGone = () => !existsSync(`/proc/${agent.pid}`);
  await eventually(
    async () => isGone() || / idling/.test(agent.output) || (await status('/readyz')) === 200,
    90_000,
  );
  return !isGone();
}
