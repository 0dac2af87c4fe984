/** Makes sure that one penstock serves this node: two would each put back what the other changes. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { PenstockError } from '../errors.js';
import { isStranger, type LockHolder, NodeLock, nodeHeld } from '../host/NodeLock.js';
import { type Clock, sleep } from '../time/Clock.js';

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
  clock: Clock,
  log: Logger,
): Promise<{ release(): void }> {
  const deadline = clock.now() + PATIENCE_MS;
  for (;;) {
    const attempt = NodeLock.take(version);
    if (attempt.type === 'taken') return attempt.lock;
    if (attempt.type === 'impossible') {
      log.info(`a second penstock on this node would not be noticed, there is no lock: ${attempt.why}`);
      return { release: NodeLock.takeNamespace() };
    }
    if (config.mode === 'userspace' && config.userspace.takeover && !isStranger(attempt.holder)) {
      log.info(`taking over from ${attempt.holder.description}`);
      return holdLater(version, clock);
    }
    if (clock.now() > deadline) throw held(attempt.holder);
    await sleep(clock, LOOK_EVERY_MS);
  }
}

function holdLater(version: string, clock: Clock): { release(): void } {
  let lock: NodeLock | undefined;
  const look = (): void => {
    const attempt = NodeLock.take(version);
    if (attempt.type === 'held') cancel = clock.after(LOOK_EVERY_MS, look);
    if (attempt.type === 'taken') lock = attempt.lock;
  };
  let cancel = clock.after(LOOK_EVERY_MS, look);
  return {
    release: () => {
      cancel();
      lock?.release();
    },
  };
}

function held(holder: LockHolder): PenstockError {
  const end =
    holder.pid === undefined
      ? 'delete its pod, or end it there'
      : `kill ${holder.pid}, or systemctl stop penstock`;
  return nodeHeld(
    holder,
    `End it first (${end}); in mode userspace --takeover goes on with its work without a gap.`,
  );
}
