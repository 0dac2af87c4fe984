/** Wake on connect, before the rules of a mode (docs/first-packet.md): first packets to Services without endpoints wait. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../../config/NodeConfig.js';
import type { BesideTable, QueueState } from '../../dataplane/Dataplane.js';
import { Holder, type WakeListener, type WakeReport } from '../../dataplane/wake/Holder.js';
import { HOLD_TABLE, type HoldOptions, holdContent } from '../../dataplane/wake/holdSets.js';
import { nativeAddon } from '../../kernel/addon/nativeAddon.js';
import type { IpFamily } from '../../net/ip.js';
import { asNew, type ChangeSet, isEmpty, type ServicePortChange } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { asksToAccept, fallingAsleep, isHeld, readWake } from '../../routing/waking.js';
import type { ModeHost } from '../ModeHost.js';
import type { Companion } from './AccompaniedDataplane.js';
import { AskedQueue } from './AskedQueue.js';

/** Those of the queue of choices lie below. */
const FIRST_QUEUE = 28_805;

const NOBODY: WakeListener = { wanted: () => {}, timedOut: () => {} };

export class WakeOnConnect implements Companion {
  readonly #queue: AskedQueue<Holder>;

  constructor(
    families: readonly IpFamily[],
    options: HoldOptions,
    { clock, waking = NOBODY }: Pick<ModeHost, 'clock' | 'waking'>,
    log: Logger,
  ) {
    this.#queue = new AskedQueue({
      families,
      content: holdContent(options),
      asks: (port) => readWake(port.options).wake !== undefined && !asksToAccept(port),
      firstQueue: FIRST_QUEUE,
      open: () =>
        new Holder(
          new (nativeAddon().HoldQueue)({ firstQueue: FIRST_QUEUE }, () => this.#queue.who?.hear(waking)),
        ),
      opened: ({ queue }) => `first packets to sleeping Services wait in queue ${queue}: table ${HOLD_TABLE}`,
      otherwise: 'Services without endpoints refuse, whatever their annotation wake says',
      clock,
      log,
    });
  }

  get committed(): number {
    return this.#queue.committed;
  }

  /** Undefined where no Service asks to be woken, or none can be. */
  report(): WakeReport | undefined {
    return this.#queue.who?.report();
  }

  get table(): BesideTable {
    return { kind: 'hold', settings: this.#queue.settings, why: this.#queue.why };
  }

  /** Undefined where no Service asks to be woken. */
  state(): QueueState | undefined {
    return this.#queue.state('hold', { isWatched: true, letPass: 0 });
  }

  async prepare(table: RoutingView, changes: ChangeSet): Promise<void> {
    const { families } = changes;
    if (isEmpty(changes)) await this.#queue.restore(table, changes);
    const falling = fallingAsleep(families, isHeld);
    if (falling === undefined) return;
    await this.#queue.prepare(falling, (holder) => {
      for (const family of this.#queue.families) holder.sleep(family, falling[family]);
    });
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<void> {
    await this.#queue.sync(table, changes, async (holder, untold, write) => {
      const changesOf = (family: IpFamily) =>
        untold === 'changes' ? changes.families[family] : everything(holder, family, table);
      const told: ChangeSet['families'] = { IPv4: changesOf('IPv4'), IPv6: changesOf('IPv6') };
      // Whoever holds knows of a sleeper before its packets come, and lets them go when no others come after them.
      for (const family of this.#queue.families) holder.sleep(family, told[family]);
      await write();
      for (const family of this.#queue.families) holder.wake(family, told[family]);
    });
  }

  requireFull(): void {
    this.#queue.requireFull();
  }

  async verify(): Promise<string | undefined> {
    return this.#queue.verify();
  }

  close(): void {
    this.#queue.close();
  }
}

/** All of the table as changes, and those that the holder knows and the table does not. */
function everything(holder: Holder, family: IpFamily, table: RoutingView): readonly ServicePortChange[] {
  const ports = table.servicePorts(family);
  const gone = holder.known(family).filter((key) => !ports.has(key));
  return [...asNew(ports.values()), ...gone.map((key) => ({ key, before: undefined, after: undefined }))];
}

export function wakeOptions({ wake, nodePortAddresses }: NodeConfig): HoldOptions {
  return { ownPackets: wake.ownPackets, nodePortAddresses };
}
