/** Serves until a signal ends it; and anew, with another configuration, whenever its file changes in a way that asks for it. */
import type { Logger } from 'pino';
import { messageOf } from '../errors.js';
import { Sysctls } from '../kernel/sysctl/Sysctls.js';
import { systemClock } from '../time/Clock.js';
import { holdNode } from './holdNode.js';
import { NodeAgent } from './NodeAgent.js';
import { ProcessSignals } from './ProcessSignals.js';
import { ConfigReload, type Run } from './reload/ConfigReload.js';

export interface ServeNodeOptions {
  readonly run: Run;
  /** Reads the command line and its file again. Throws what is wrong with them. */
  readonly parse: () => Run;
  /** Of penstock. */
  readonly version: string;
  readonly log: Logger;
}

const SUCCEEDED = 'another penstock has taken over';
/** Milliseconds that ending may take, beyond what connections in mode userspace are given. */
const LONGEST_END_MS = 20_000;

/** Rejects when the first configuration cannot be served. Nothing is left open then, nor when it resolves. */
export async function serveNode(options: ServeNodeOptions): Promise<void> {
  const { run, parse, version, log } = options;
  const sysctls = new Sysctls();
  const agentOptions = (of: Run) =>
    ({ run: of, version, sysctls, clock: systemClock, random: Math.random, log }) as const;
  if (run.options.initOnly) return NodeAgent.initialise(agentOptions(run));

  const lock = await holdNode(run.config, version, log);
  const reload = new ConfigReload({ run, parse, sysctls, log });
  const signals = new ProcessSignals({ onHangUp: () => reload.readAgain('SIGHUP received'), log });
  try {
    let inForce: Run | undefined;
    let next: Run | undefined = run;
    while (next !== undefined) {
      try {
        const node = await NodeAgent.start(agentOptions(next));
        inForce = next;
        next = await serveOnce(node, signals, reload.next(next), inForce, log);
      } catch (error) {
        if (inForce === undefined || next === inForce) throw error;
        const why = oneLine(messageOf(error));
        log.error({ err: error }, `the new configuration cannot be served, back to the one before: ${why}`);
        next = inForce;
      }
    }
  } finally {
    reload.close();
    signals.close();
    lock.release();
  }
}

/** Resolves to the configuration to go on with; undefined: that was all. The agent is stopped then. */
async function serveOnce(
  node: NodeAgent,
  signals: ProcessSignals,
  reloaded: Promise<Run>,
  { config }: Run,
  log: Logger,
): Promise<Run | undefined> {
  const succeeded = node.succeeded.then(() => SUCCEEDED);
  const end = await Promise.race([signals.ended, succeeded, reloaded]);
  if (typeof end !== 'string') {
    await node.stop();
    return end;
  }
  log.info(`${end}, stopping; the rules stay in place`);
  const giveUp = setTimeout(() => {
    log.error('something does not end: the process ends all the same');
    process.exit(1);
  }, config.userspace.shutdownTimeout + LONGEST_END_MS);
  await node.stop();
  clearTimeout(giveUp);
  log.info('stopped');
  if (end === SUCCEEDED && isInPod()) {
    log.info('waiting for SIGTERM: the kubelet would start an ended container again');
    await stayFor(signals.ended);
  }
  return undefined;
}

/** Waiting for a signal alone does not keep a process of Node.js alive. */
async function stayFor(event: Promise<unknown>): Promise<void> {
  const staying = setInterval(() => {}, 60_000);
  await event;
  clearInterval(staying);
}

/** Started again it would take the work back from its successor, and be deleted with it. */
function isInPod(): boolean {
  return process.env.KUBERNETES_SERVICE_HOST !== undefined;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ');
}
