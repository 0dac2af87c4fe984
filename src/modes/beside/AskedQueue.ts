/**
 * A queue of first packets, with whoever decides on them and the tables that hand them over: there as long as a service port asks for
 * it, and nothing otherwise.
 */
import type { Logger } from 'pino';
import type { QueueSettings } from '../../dataplane/choice/choiceSets.js';
import type { QueueState } from '../../dataplane/Dataplane.js';
import type { KeyTableContent } from '../../dataplane/family/KeyTable.js';
import { messageOf } from '../../errors.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { Clock } from '../../time/Clock.js';
import { AskingPorts } from './AskingPorts.js';
import { QueueTables } from './QueueTables.js';

/** Who decides on the packets of a queue. */
export interface Decider {
  readonly queue: number;
  /** How many, whose numbers follow; 1 unless given. */
  readonly queues?: number;
  close(): void;
}

export interface AskedQueueOptions<Who extends Decider> {
  readonly families: readonly IpFamily[];
  readonly content: KeyTableContent<QueueSettings>;
  readonly asks: (port: ServicePort) => boolean;
  /** The first number that is tried; other programs like small ones. */
  readonly firstQueue: number;
  /** Throws when there can be none now. */
  readonly open: () => Who;
  /** What is said of it in the log. */
  readonly opened: (who: Who) => string;
  /** What holds while there is none: `endpoints are drawn by lot where an algorithm counts`. */
  readonly otherwise: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What whoever decides has not been told of: nothing at all, as it is new; more than the changes; the changes alone. */
export type Untold = 'everything' | 'more' | 'changes';

const TRY_AGAIN_MS = 10_000;

export class AskedQueue<Who extends Decider> {
  readonly #options: AskedQueueOptions<Who>;
  readonly #tables: QueueTables;
  readonly #asking: AskingPorts;
  #who: Who | undefined;
  #hasMissed = false;
  #tryAgain = Number.NEGATIVE_INFINITY;
  /** Said once, until it works again. */
  #said = '';

  constructor(options: AskedQueueOptions<Who>) {
    const { families, content, asks, clock } = options;
    this.#options = options;
    this.#tables = new QueueTables(families, content, clock);
    this.#asking = new AskingPorts(families, asks);
  }

  get families(): readonly IpFamily[] {
    return this.#tables.families;
  }

  /** Our own transactions: whoever watches the generation of the rule set must not take them for somebody else's. */
  get committed(): number {
    return this.#tables.committed;
  }

  /** What the tables in the kernel follow from. */
  get settings(): QueueTables['settings'] {
    return this.#tables.settings;
  }

  /** Why there is no queue, or its rules are not written; '' where all is well, or nobody asks. */
  get why(): string {
    return this.#asking.any ? this.#said : '';
  }

  /** Undefined where nobody asks. `letPass`: how often somebody let packets pass. */
  state(
    kind: QueueState['kind'],
    watch: { readonly isWatched: boolean; readonly letPass: number },
  ): QueueState | undefined {
    if (!this.#asking.any) return undefined;
    const { otherwise } = this.#options;
    const { queue = null, queues = 1 } = this.#who ?? {};
    return { kind, queue, queues, why: this.why, otherwise, ...watch };
  }

  /** Undefined where nobody asks, or there can be none. */
  get who(): Who | undefined {
    return this.#who;
  }

  /** Never rejects. `tell`: tells whoever decides, and calls `write` for the tables in between. */
  async sync(
    table: RoutingView,
    changes: ChangeSet,
    tell: (who: Who, untold: Untold, write: () => Promise<void>) => Promise<void>,
  ): Promise<void> {
    try {
      this.#asking.note(table, changes);
      if (!this.#asking.any) {
        await this.#end();
        return;
      }
      const isNew = this.#who === undefined;
      const who = this.#who ?? (await this.#open());
      if (who === undefined) return;
      const untold = isNew ? 'everything' : this.#hasMissed ? 'more' : 'changes';
      await tell(who, untold, () => this.#tables.sync(table, changes, who));
      this.#hasMissed = false;
      this.#said = '';
    } catch (error) {
      this.#say(messageOf(error));
      this.requireFull();
    }
  }

  /** Hands over first packets of these service ports already, before a sync with them. Never rejects: the sync then looks at everything. */
  async prepare(families: ChangeSet['families'], tell: (who: Who) => void): Promise<void> {
    if (this.#who === undefined || this.#hasMissed) return;
    try {
      tell(this.#who);
      await this.#tables.addAhead(families);
    } catch {
      this.requireFull();
    }
  }

  /** Writes tables that others have removed. Never rejects: the next sync then looks at everything. */
  async restore(table: RoutingView, unchanged: ChangeSet): Promise<void> {
    if (this.#who === undefined || this.#hasMissed) return;
    try {
      if ((await this.#tables.verify()) !== undefined) await this.#tables.sync(table, unchanged, this.#who);
    } catch {
      this.requireFull();
    }
  }

  requireFull(): void {
    this.#hasMissed = true;
    this.#asking.forget();
    this.#tables.requireFull();
  }

  async verify(): Promise<string | undefined> {
    return this.#who && this.#tables.verify();
  }

  /** The rules stay: they lead past a queue that nobody has. */
  close(): void {
    this.#who?.close();
    this.#who = undefined;
    this.#tables.close();
  }

  async #open(): Promise<Who | undefined> {
    const { firstQueue, open, opened, clock, log } = this.#options;
    if ((await this.#tables.way(firstQueue)) === undefined) {
      this.#say('this kernel has neither CONFIG_NFT_QUEUE nor CONFIG_NETFILTER_XT_TARGET_NFQUEUE');
      return undefined;
    }
    if (clock.now() < this.#tryAgain) return undefined;
    this.#tryAgain = clock.now() + TRY_AGAIN_MS;
    try {
      this.#who = open();
    } catch (error) {
      // Tables of an agent before hand packets to a number that may be another program's by now.
      await this.#tables.remove();
      throw error;
    }
    this.#tables.requireFull();
    log.info(opened(this.#who));
    return this.#who;
  }

  /** Nobody asks any more. */
  async #end(): Promise<void> {
    await this.#tables.remove();
    this.#who?.close();
    this.#who = undefined;
    this.#tryAgain = Number.NEGATIVE_INFINITY;
  }

  #say(why: string): void {
    if (this.#said !== why) this.#options.log.warn(`${this.#options.otherwise}: ${why}`);
    this.#said = why;
  }
}
