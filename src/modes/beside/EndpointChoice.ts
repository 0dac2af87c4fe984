/** The choice of endpoints for first packets, beside the rules of modes nftables and iptables (docs/first-packet.md). */
import type { Logger } from 'pino';
import { type ChoiceReport, Chooser } from '../../dataplane/choice/Chooser.js';
import { CHOICE_CONTENT } from '../../dataplane/choice/choiceSets.js';
import type { BesideTable, QueueState } from '../../dataplane/Dataplane.js';
import type { NativeChoice, NativeChoiceOptions } from '../../kernel/addon/NativeChoice.js';
import { nativeAddon, watchdogProgram } from '../../kernel/addon/nativeAddon.js';
import type { IpFamily } from '../../net/ip.js';
import { asNew, type ChangeSet } from '../../routing/ChangeSet.js';
import { CHOICE_MASK, CHOICE_SHIFT, isChosenFor, queueWords } from '../../routing/choice.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Clock } from '../../time/Clock.js';
import type { Companion } from './AccompaniedDataplane.js';
import { AskedQueue } from './AskedQueue.js';

const FIRST_QUEUE = 28_773;

export interface EndpointChoiceOptions {
  readonly families: readonly IpFamily[];
  readonly log: Logger;
  readonly clock: Clock;
  readonly openQueue?: (options: NativeChoiceOptions) => NativeChoice;
}

export class EndpointChoice implements Companion {
  readonly #queue: AskedQueue<Chooser>;

  constructor({ families, log, clock, openQueue }: EndpointChoiceOptions) {
    const openNative =
      openQueue ?? ((options: NativeChoiceOptions) => new (nativeAddon().ChoiceQueue)(options));
    this.#queue = new AskedQueue({
      families,
      content: CHOICE_CONTENT,
      asks: isChosenFor,
      firstQueue: FIRST_QUEUE,
      open: () => {
        const native = openNative({
          firstQueue: FIRST_QUEUE,
          markShift: CHOICE_SHIFT,
          markMask: CHOICE_MASK,
          watchdog: watchdogProgram(),
        });
        return new Chooser(native, () => clock.now());
      },
      opened: ({ queue, queues }) =>
        `first packets are decided in user space where an algorithm counts: ${queueWords(queue, queues)}`,
      otherwise: 'endpoints are drawn by lot where an algorithm counts',
      clock,
      log,
    });
  }

  get committed(): number {
    return this.#queue.committed;
  }

  /** Undefined where no Service asks for a choice, or there cannot be one. */
  report(): ChoiceReport | undefined {
    return this.#queue.who?.report();
  }

  get table(): BesideTable {
    return { kind: 'choice', settings: this.#queue.settings, why: this.#queue.why };
  }

  /** Undefined where no Service asks for a choice. */
  state(): QueueState | undefined {
    const status = this.report()?.status;
    const isWatched = status?.isWatched === 1;
    return this.#queue.state('choice', { isWatched, letPass: status?.timesOpen ?? 0 });
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<void> {
    await this.#queue.sync(table, changes, async (chooser, untold, write) => {
      // Packets find who decides on them before they are handed over. It is told of every change, whatever became of the tables.
      for (const family of this.#queue.families)
        chooser.apply(
          family,
          untold === 'everything' ? asNew(table.servicePorts(family).values()) : changes.families[family],
        );
      await write();
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
