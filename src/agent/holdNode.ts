/** Makes sure that one penstock serves this node: two would each put back what the other changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import { PenstockError } from '../errors.js';
import { type LockHolder, NodeLock } from '../host/NodeLock.js';

/** Milliseconds. One that is just ending is waited for. */
const PATIENCE_MS = 1000;
const LOOK_EVERY_MS = 100;

/**
 * Resolves when this process may serve; `release` lets the next one do so. With --takeover in mode userspace it begins beside
 * the one that is to hand over, and holds the node once that has ended. Rejects with PENSTOCK_NODE_HELD.
 */
export async function holdNode(
  config: Pick<NodeConfig, 'mode' | 'userspace'>,
  version: string,
  log: Logger,
): Promise<{ release(): void }> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const attempt = NodeLock.take(version);
    if (attempt.type === 'taken') return attempt.lock;
    if (attempt.type === 'impossible') {
      log.info(`a second penstock on this node would not be noticed, there is no lock: ${attempt.why}`);
      return { release: () => {} };
    }
    if (config.mode === 'userspace' && config.userspace.takeover) {
      log.info(`taking over from ${attempt.holder.description}`);
      return holdLater(version);
    }
    if (performance.now() > deadline) throw held(attempt.holder);
    await sleep(LOOK_EVERY_MS);
  }
}

function holdLater(version: string): { release(): void } {
  let lock: NodeLock | undefined;
  const timer = setInterval(() => {
    const attempt = NodeLock.take(version);
    if (attempt.type === 'held') return;
    clearInterval(timer);
    if (attempt.type === 'taken') lock = attempt.lock;
  }, LOOK_EVERY_MS);
  timer.unref();
  return {
    release: () => {
      clearInterval(timer);
      lock?.release();
    },
  };
}

function held({ pid, description }: LockHolder): PenstockError {
  const end =
    pid === undefined ? 'delete its pod, or end it there' : `kill ${pid}, or systemctl stop penstock`;
  return new PenstockError('PENSTOCK_NODE_HELD', `${description} serves this node already`, {
    remedy: `End it first (${end}); in mode userspace --takeover goes on with its work without a gap.`,
  });
}
