/**
 * Wake on connect, before the rules of a mode (docs/first-packet.md): a queue and a thread that hold first packets to Services
 * without endpoints, as long as one asks for it, and nothing otherwise.
 */
import type { Logger } from 'pino';
import type { NodeConfig } from '../../config/NodeConfig.js';
import { Holder, type WakeListener, type WakeReport } from '../../dataplane/wake/Holder.js';
import { HOLD_TABLE, type HoldOptions, holdContent } from '../../dataplane/wake/holdSets.js';
import { messageOf } from '../../errors.js';
import { nativeAddon } from '../../kernel/addon/nativeAddon.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet, ServicePortChange } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { readWake } from '../../routing/waking.js';
import type { ModeHost } from '../ModeHost.js';
import type { Companion } from './AccompaniedDataplane.js';
import { AskingPorts } from './AskingPorts.js';
import { QueueTables } from './QueueTables.js';

/** The first number that is tried; those of the queue of choices lie below. */
const FIRST_QUEUE = 28_805;
const TRY_AGAIN_MS = 10_000;

const NOBODY: WakeListener = { wanted: () => {}, timedOut: () => {} };

export class WakeOnConnect implements Companion {
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #listener: WakeListener;
  readonly #tables: QueueTables;
  readonly #asking: AskingPorts;
  #holder: Holder | undefined;
  /** The holder may not know all that the table has. */
  #hasMissed = false;
  #tryAgain = Number.NEGATIVE_INFINITY;
  /** Said once, until it works again. */
  #said = '';

  constructor(
    families: readonly IpFamily[],
    options: HoldOptions,
    { clock, waking = NOBODY }: Pick<ModeHost, 'clock' | 'waking'>,
    log: Logger,
  ) {
    this.#log = log;
    this.#now = () => clock.now();
    this.#listener = waking;
    this.#tables = new QueueTables(families, holdContent(options), clock);
    this.#asking = new AskingPorts(families, (port) => readWake(port.options).wake !== undefined);
  }

  get committed(): number {
    return this.#tables.committed;
  }

  /** Undefined where no Service asks to be woken, or none can be. */
  report(): WakeReport | undefined {
    return this.#holder?.report();
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<void> {
    try {
      this.#asking.note(table, changes);
      if (!this.#asking.any) await this.#end();
      else if (this.#holder || (await this.#open())) await this.#write(this.#holder, table, changes);
    } catch (error) {
      this.#say(
        `Services without endpoints refuse, whatever their annotation wake says: ${messageOf(error)}`,
      );
      this.requireFull();
    }
  }

  requireFull(): void {
    this.#hasMissed = true;
    this.#asking.forget();
    this.#tables.requireFull();
  }

  async verify(): Promise<string | undefined> {
    return this.#holder && this.#tables.verify();
  }

  /** The rules stay: they lead past a queue that nobody has. */
  close(): void {
    this.#holder?.close();
    this.#holder = undefined;
    this.#tables.close();
  }

  async #write(holder: Holder | undefined, table: RoutingView, { families }: ChangeSet): Promise<void> {
    if (holder === undefined) return;
    const all = this.#hasMissed;
    const changesOf = (family: IpFamily) => (all ? everything(holder, family, table) : families[family]);
    const changes: ChangeSet['families'] = { IPv4: changesOf('IPv4'), IPv6: changesOf('IPv6') };
    // Whoever holds knows of a sleeper before its packets come, and lets them go when no others come after them.
    for (const family of this.#tables.families) holder.sleep(family, changes[family]);
    await this.#tables.sync(table, { families, triggerTimes: [] }, holder.queue);
    for (const family of this.#tables.families) holder.wake(family, changes[family]);
    this.#hasMissed = false;
    this.#said = '';
  }

  async #open(): Promise<boolean> {
    if ((await this.#tables.way(FIRST_QUEUE)) === undefined) {
      this.#say(
        'Services without endpoints refuse, whatever their annotation wake says: this kernel has neither CONFIG_NFT_QUEUE nor CONFIG_NETFILTER_XT_TARGET_NFQUEUE',
      );
      return false;
    }
    if (this.#now() < this.#tryAgain) return false;
    this.#tryAgain = this.#now() + TRY_AGAIN_MS;
    try {
      const native = new (nativeAddon().HoldQueue)({ firstQueue: FIRST_QUEUE }, () =>
        this.#holder?.hear(this.#listener),
      );
      this.#holder = new Holder(native);
    } catch (error) {
      // Tables of an agent before hand packets to a number that may be another program's by now.
      await this.#tables.remove();
      throw error;
    }
    this.requireFull();
    this.#log.info(
      `first packets to sleeping Services wait in queue ${this.#holder.queue}: table ${HOLD_TABLE}`,
    );
    return true;
  }

  /** Nobody asks any more. */
  async #end(): Promise<void> {
    await this.#tables.remove();
    this.#holder?.close();
    this.#holder = undefined;
    this.#tryAgain = Number.NEGATIVE_INFINITY;
  }

  #say(text: string): void {
    if (this.#said !== text) this.#log.warn(text);
    this.#said = text;
  }
}

/** All of the table as changes, and those that the holder knows and the table does not. */
function everything(holder: Holder, family: IpFamily, table: RoutingView): readonly ServicePortChange[] {
  const ports = table.servicePorts(family);
  const gone = holder.known(family).filter((key) => !ports.has(key));
  return [
    ...[...ports.values()].map((after) => ({ key: after.key, before: undefined, after })),
    ...gone.map((key) => ({ key, before: undefined, after: undefined })),
  ];
}

export function wakeOptions({ wake, nodePortAddresses }: NodeConfig): HoldOptions {
  return { ownPackets: wake.ownPackets, nodePortAddresses };
}
