/**
 * The choice of endpoints for first packets, beside the rules of modes nftables and iptables (docs/first-packet.md): a queue and a
 * thread as long as a Service asks for an algorithm that counts, and nothing otherwise.
 */
import type { Logger } from 'pino';
import { type ChoiceReport, Chooser } from '../../dataplane/choice/Chooser.js';
import { CHOICE_CONTENT } from '../../dataplane/choice/choiceSets.js';
import { messageOf } from '../../errors.js';
import type { NativeChoice, NativeChoiceOptions } from '../../kernel/addon/NativeChoice.js';
import { nativeAddon, watchdogProgram } from '../../kernel/addon/nativeAddon.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import { CHOICE_MASK, CHOICE_SHIFT, isChosenFor } from '../../routing/choice.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Clock } from '../../time/Clock.js';
import type { Companion } from './AccompaniedDataplane.js';
import { AskingPorts } from './AskingPorts.js';
import { QueueTables } from './QueueTables.js';

/** The first number that is tried; other programs like small ones. */
const FIRST_QUEUE = 28_773;
const TRY_AGAIN_MS = 10_000;

export interface EndpointChoiceOptions {
  readonly families: readonly IpFamily[];
  readonly log: Logger;
  readonly clock: Clock;
  readonly openQueue?: (options: NativeChoiceOptions) => NativeChoice;
}

export class EndpointChoice implements Companion {
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #openQueue: (options: NativeChoiceOptions) => NativeChoice;
  readonly #tables: QueueTables;
  readonly #asking: AskingPorts;
  #chooser: Chooser | undefined;
  #tryAgain = Number.NEGATIVE_INFINITY;
  /** Said once, until it works again. */
  #said = '';

  constructor({ families, log, clock, openQueue }: EndpointChoiceOptions) {
    this.#log = log;
    this.#now = () => clock.now();
    this.#openQueue = openQueue ?? ((options) => new (nativeAddon().ChoiceQueue)(options));
    this.#asking = new AskingPorts(families, isChosenFor);
    this.#tables = new QueueTables(families, CHOICE_CONTENT, clock);
  }

  /** Our own transactions: whoever watches the generation of the rule set must not take them for somebody else's. */
  get committed(): number {
    return this.#tables.committed;
  }

  /** Undefined where no Service asks for a choice, or there cannot be one. */
  report(): ChoiceReport | undefined {
    return this.#chooser?.report();
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<void> {
    try {
      this.#asking.note(table, changes);
      if (!this.#asking.any) await this.#end();
      else if (this.#isTold(changes) || (await this.#open(table))) await this.#write(table, changes);
    } catch (error) {
      this.#say(`endpoints are drawn by lot where an algorithm counts: ${messageOf(error)}`);
      this.requireFull();
    }
  }

  requireFull(): void {
    this.#tables.requireFull();
  }

  async verify(): Promise<string | undefined> {
    return this.#chooser && this.#tables.verify();
  }

  /** The rules stay: they lead past a queue that nobody has. */
  close(): void {
    this.#chooser?.close();
    this.#chooser = undefined;
    this.#tables.close();
  }

  /** Packets find who decides on them before they are handed over. False: there is nobody to tell. */
  #isTold(changes: ChangeSet): boolean {
    const chooser = this.#chooser;
    if (chooser === undefined) return false;
    for (const family of this.#tables.families) chooser.apply(family, changes.families[family]);
    return true;
  }

  async #open(table: RoutingView): Promise<boolean> {
    if ((await this.#tables.way(FIRST_QUEUE)) === undefined) {
      this.#say(
        'endpoints are drawn by lot where an algorithm counts: this kernel has neither CONFIG_NFT_QUEUE nor CONFIG_NETFILTER_XT_TARGET_NFQUEUE',
      );
      return false;
    }
    if (this.#now() < this.#tryAgain) return false;
    this.#tryAgain = this.#now() + TRY_AGAIN_MS;
    const chooser = new Chooser(await this.#queue(), this.#now);
    this.#chooser = chooser;
    for (const family of this.#tables.families) {
      const ports = [...table.servicePorts(family).values()];
      chooser.apply(
        family,
        ports.map((after) => ({ key: after.key, before: undefined, after })),
      );
    }
    this.requireFull();
    this.#log.info(
      `first packets are decided in user space where an algorithm counts: queue ${chooser.queue}`,
    );
    return true;
  }

  async #queue(): Promise<NativeChoice> {
    try {
      return this.#openQueue({
        firstQueue: FIRST_QUEUE,
        markShift: CHOICE_SHIFT,
        markMask: CHOICE_MASK,
        watchdog: watchdogProgram(),
      });
    } catch (error) {
      // Tables of an agent before hand packets to a number that may be another program's by now.
      await this.#tables.remove();
      throw error;
    }
  }

  async #write(table: RoutingView, changes: ChangeSet): Promise<void> {
    if (this.#chooser === undefined) return;
    await this.#tables.sync(table, changes, this.#chooser.queue);
    this.#said = '';
  }

  /** Nobody asks any more. */
  async #end(): Promise<void> {
    await this.#tables.remove();
    this.#chooser?.close();
    this.#chooser = undefined;
    this.#tryAgain = Number.NEGATIVE_INFINITY;
  }

  #say(text: string): void {
    if (this.#said !== text) this.#log.warn(text);
    this.#said = text;
  }
}
