/**
 * The choice of endpoints for first packets, beside the rules of modes nftables and iptables (docs/first-packet.md): a queue and a
 * thread as long as a Service asks for an algorithm that counts, and nothing otherwise.
 */
import type { Logger } from 'pino';
import { append } from '../../append.js';
import { ChoiceTable } from '../../dataplane/choice/ChoiceTable.js';
import { type ChoiceReport, Chooser } from '../../dataplane/choice/Chooser.js';
import { CHOICE_TABLE, choiceChains, choiceSets } from '../../dataplane/choice/choiceSets.js';
import { messageOf } from '../../errors.js';
import type { NativeChoice, NativeChoiceOptions } from '../../kernel/addon/NativeChoice.js';
import { nativeAddon, watchdogProgram } from '../../kernel/addon/nativeAddon.js';
import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import type { QueueBy } from '../../kernel/nftables/queueing.js';
import { Transaction } from '../../kernel/nftables/Transaction.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { openNftablesChannel } from '../../kernel/nftables/table/openNftablesChannel.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import { CHOICE_MASK, CHOICE_SHIFT, isChosenFor } from '../../routing/choice.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Clock } from '../../time/Clock.js';
import type { Companion } from './AccompaniedDataplane.js';

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
  readonly #channel: NetlinkChannel;
  readonly #tables: readonly NftablesTable[];
  readonly #choiceTables: readonly ChoiceTable[];
  readonly #wanting = new Map<IpFamily, Set<string>>();
  #chooser: Chooser | undefined;
  #by: QueueBy | 'nothing' | undefined;
  #tryAgain = Number.NEGATIVE_INFINITY;
  /** Tables may be there from another agent. */
  #mayBeThere = true;
  /** Said once, until it works again. */
  #said = '';

  constructor({ families, log, clock, openQueue }: EndpointChoiceOptions) {
    this.#log = log;
    this.#now = () => clock.now();
    this.#openQueue = openQueue ?? ((options) => new (nativeAddon().ChoiceQueue)(options));
    this.#channel = openNftablesChannel(clock);
    this.#tables = families.map((family) => new NftablesTable(this.#channel, family, CHOICE_TABLE));
    this.#choiceTables = this.#tables.map((table) => new ChoiceTable(table));
  }

  /** Our own transactions: whoever watches the generation of the rule set must not take them for somebody else's. */
  get committed(): number {
    return this.#choiceTables.reduce((sum, { committed }) => sum + committed, 0);
  }

  /** Undefined where no Service asks for a choice, or there cannot be one. */
  report(): ChoiceReport | undefined {
    return this.#chooser?.report();
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<void> {
    try {
      this.#note(table, changes);
      const isWanted = [...this.#wanting.values()].some(({ size }) => size > 0);
      if (!isWanted) await this.#end();
      else if (this.#isTold(changes) || (await this.#open(table))) await this.#write(table, changes);
    } catch (error) {
      this.#say(`endpoints are drawn by lot where an algorithm counts: ${messageOf(error)}`);
      this.requireFull();
    }
  }

  requireFull(): void {
    for (const each of this.#choiceTables) each.requireFull();
  }

  async verify(): Promise<string | undefined> {
    if (this.#chooser === undefined) return undefined;
    for (const each of this.#choiceTables) {
      const isThere = await each.isThere().catch(() => true);
      if (isThere) continue;
      each.requireFull();
      return `${each.family}: table ${CHOICE_TABLE}, which hands first packets over, is gone`;
    }
    return undefined;
  }

  /** The rules stay: they lead past a queue that nobody has. */
  close(): void {
    this.#chooser?.close();
    this.#chooser = undefined;
    this.#channel.close();
  }

  #note(table: RoutingView, changes: ChangeSet): void {
    for (const { family } of this.#choiceTables) {
      const wanting = this.#wanting.get(family);
      if (wanting === undefined) {
        const ports = [...table.servicePorts(family).values()].filter(isChosenFor);
        this.#wanting.set(family, new Set(ports.map(({ key }) => key)));
        continue;
      }
      for (const { key, after } of changes.families[family]) {
        if (after && isChosenFor(after)) wanting.add(key);
        else wanting.delete(key);
      }
    }
  }

  /** Packets find who decides on them before they are handed over. False: there is nobody to tell. */
  #isTold(changes: ChangeSet): boolean {
    const chooser = this.#chooser;
    if (chooser === undefined) return false;
    for (const { family } of this.#choiceTables) chooser.apply(family, changes.families[family]);
    return true;
  }

  async #open(table: RoutingView): Promise<boolean> {
    this.#by ??= await this.#findWay();
    if (this.#by === 'nothing') {
      this.#say(
        'endpoints are drawn by lot where an algorithm counts: this kernel has neither CONFIG_NFT_QUEUE nor CONFIG_NETFILTER_XT_TARGET_NFQUEUE',
      );
      return false;
    }
    if (this.#now() < this.#tryAgain) return false;
    this.#tryAgain = this.#now() + TRY_AGAIN_MS;
    const chooser = new Chooser(await this.#queue(), this.#now);
    this.#chooser = chooser;
    for (const { family } of this.#choiceTables) {
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
      await this.#removeTables();
      throw error;
    }
  }

  async #write(table: RoutingView, changes: ChangeSet): Promise<void> {
    const chooser = this.#chooser;
    if (chooser === undefined || this.#by === undefined || this.#by === 'nothing') return;
    this.#mayBeThere = true;
    for (const each of this.#choiceTables) {
      const { family } = each;
      await each.sync(table.servicePorts(family), changes.families[family], {
        family,
        queue: chooser.queue,
        by: this.#by,
      });
    }
    this.#said = '';
  }

  /** Nobody asks any more. */
  async #end(): Promise<void> {
    await this.#removeTables();
    this.#chooser?.close();
    this.#chooser = undefined;
    this.#tryAgain = Number.NEGATIVE_INFINITY;
  }

  async #removeTables(): Promise<void> {
    if (this.#mayBeThere) for (const each of this.#choiceTables) await each.remove();
    this.#mayBeThere = false;
  }

  /** The kernel is asked with the very rules that would be written. */
  async #findWay(): Promise<QueueBy | 'nothing'> {
    const [table] = this.#tables;
    if (table === undefined) return 'nothing';
    for (const by of ['expression', 'target'] as const) {
      const probe = new Transaction(table.family, `${CHOICE_TABLE}-probe`);
      probe.createTable = true;
      append(probe.newSets, choiceSets(table.family));
      for (const chain of choiceChains({ family: table.family, queue: FIRST_QUEUE, by }))
        probe.addChain(chain);
      if ((await table.check(probe)) === undefined) return by;
    }
    return 'nothing';
  }

  #say(text: string): void {
    if (this.#said !== text) this.#log.warn(text);
    this.#said = text;
  }
}
