/** Serves until a signal ends it; and anew, with another configuration, whenever its file changes in a way that asks for it. */

import type { Logger } from 'pino';
import type { Run } from '../config/flags/parseRunCommand.js';
import { messageOf } from '../errors.js';
import { OpenList } from '../host/OpenList.js';
import { ServiceManager } from '../host/ServiceManager.js';
import { oneLine } from '../net/oneLine.js';
import { type Clock, every } from '../time/Clock.js';
import { NodeAgent, type NodeAgentOptions } from './NodeAgent.js';
import { type NodeHost, thisHost } from './NodeHost.js';
import { ProcessSignals } from './ProcessSignals.js';
import { ConfigReload } from './reload/ConfigReload.js';

export interface ServeNodeOptions {
  readonly run: Run;
  /** Reads the command line and its file again. Throws what is wrong with them. */
  readonly parse: () => Run;
  /** Of penstock. */
  readonly version: string;
  readonly log: Logger;
  readonly host?: NodeHost;
}

const SUCCEEDED = 'another penstock has taken over';
/** Milliseconds that ending may take, beyond what connections in mode userspace are given. */
const LONGEST_END_MS = 20_000;

/** Rejects when the first configuration cannot be served. Nothing is left open then, nor when it resolves. */
export async function serveNode(options: ServeNodeOptions): Promise<void> {
  const { run, parse, version, log, host = thisHost() } = options;
  const { clock } = host;
  const agentOptions = (of: Run) => ({ run: of, version, host, log }) as const;
  if (run.options.initOnly) return NodeAgent.initialise(agentOptions(run));

  const reload = new ConfigReload({ run, parse, host, log });
  const { env: environment, pid } = host.process;
  const manager = new ServiceManager({ environment, pid, clock, log });
  const signals = new ProcessSignals({
    onHangUp: () => {
      manager.reloading();
      if (reload.readAgain('SIGHUP received') === 'done') manager.reloaded();
    },
    longestEndMs: () => reload.inForce.config.userspace.shutdownTimeout + LONGEST_END_MS,
    process: host.process,
    clock,
    log,
  });
  const open = new OpenList(log);
  open.add('the word to the service manager', () => manager.close());
  open.add('signals', () => signals.close());
  open.add('the watch on the configuration', () => reload.close());
  await open.closeUnless(async () => {
    const lock = await host.holdNode(run.config, version, clock, log);
    open.add('the lock of the node', () => lock.release());
    let next: Run | undefined = run;
    while (next !== undefined)
      next = await serveOnce(next, { reload, signals, manager, log }, agentOptions(next));
  });
  await open.close();
}

/** What stays while the agent starts anew. */
interface Staying {
  readonly reload: ConfigReload;
  readonly signals: ProcessSignals;
  readonly manager: ServiceManager;
  readonly log: Logger;
}

/** Resolves to the configuration to go on with; undefined: that was all. The agent is stopped then. */
async function serveOnce(
  run: Run,
  { reload, signals, manager, log }: Staying,
  options: NodeAgentOptions,
): Promise<Run | undefined> {
  if (signals.isEnding) {
    log.info(`${await signals.ended}, stopped; the rules stay in place`);
    return undefined;
  }
  const node = await startOr(run, reload, options, log);
  if (node === undefined) return reload.back();
  manager.follow(() => node.summary);
  void node.served.then(() => manager.serves());
  const succeeded = node.succeeded.then(() => SUCCEEDED);
  const returned = node.returned.then(() => run);
  const end = await Promise.race([signals.ended, succeeded, reload.next(run), returned]);
  if (typeof end !== 'string') {
    manager.reloading();
    await node.stop('to go on');
    return end;
  }
  log.info(`${end}, stopping; the rules stay in place`);
  manager.stopping(`${end}; the rules stay in place`);
  signals.limitEnd();
  await node.stop('for good');
  signals.liftLimit();
  log.info('stopped');
  if (end === SUCCEEDED && isInPod(options.host.process.env)) {
    log.info('waiting for SIGTERM: the kubelet would start an ended container again');
    await stayFor(signals.ended, options.host.clock);
  }
  return undefined;
}

/** Undefined: it cannot be served, and the configuration before is to come back. Rejects when there is none. */
async function startOr(
  run: Run,
  reload: ConfigReload,
  options: NodeAgentOptions,
  log: Logger,
): Promise<NodeAgent | undefined> {
  try {
    return await NodeAgent.start(options);
  } catch (error) {
    if (run === reload.inForce) throw error;
    const why = oneLine(messageOf(error));
    log.error({ err: error }, `the new configuration cannot be served, back to the one before: ${why}`);
    return undefined;
  }
}

/** Waiting for a signal alone does not keep a process of Node.js alive. */
async function stayFor(event: Promise<unknown>, clock: Clock): Promise<void> {
  const endStay = every(clock, 60_000, () => {});
  await event;
  endStay();
}

/** Started again it would take the work back from its successor, and be deleted with it. */
function isInPod(env: NodeJS.ProcessEnv): boolean {
  return env.KUBERNETES_SERVICE_HOST !== undefined;
}
