/** The tables of both families that hand first packets to one queue, and the way that this kernel has to it. */
import { append } from '../../append.js';
import { type QueueContent, QueueTable } from '../../dataplane/choice/QueueTable.js';
import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import type { QueueBy } from '../../kernel/nftables/queueing.js';
import { Transaction } from '../../kernel/nftables/Transaction.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { openNftablesChannel } from '../../kernel/nftables/table/openNftablesChannel.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Clock } from '../../time/Clock.js';

export class QueueTables {
  readonly families: readonly IpFamily[];
  readonly #content: QueueContent;
  readonly #channel: NetlinkChannel;
  readonly #probe: NftablesTable | undefined;
  readonly #tables: readonly QueueTable[];
  #by: QueueBy | 'nothing' | undefined;
  /** They may be there from another agent. */
  #mayBeThere = true;

  constructor(families: readonly IpFamily[], content: QueueContent, clock: Clock) {
    this.families = families;
    this.#content = content;
    this.#channel = openNftablesChannel(clock);
    const tables = families.map((family) => new NftablesTable(this.#channel, family, content.name));
    this.#probe = tables[0];
    this.#tables = tables.map((table) => new QueueTable(table, content));
  }

  /** Our own transactions: whoever watches the generation of the rule set must not take them for somebody else's. */
  get committed(): number {
    return this.#tables.reduce((sum, { committed }) => sum + committed, 0);
  }

  requireFull(): void {
    for (const each of this.#tables) each.requireFull();
  }

  /** A sentence when others removed one; the next sync repairs that. */
  async verify(): Promise<string | undefined> {
    for (const each of this.#tables) {
      const isThere = await each.isThere().catch(() => true);
      if (isThere) continue;
      each.requireFull();
      return `${each.family}: table ${this.#content.name}, which hands first packets over, is gone`;
    }
    return undefined;
  }

  /** Undefined: this kernel has none. It is asked with the very rules that would be written, once. Rejects with NetlinkError. */
  async way(queue: number): Promise<QueueBy | undefined> {
    this.#by ??= await this.#findWay(queue);
    return this.#by === 'nothing' ? undefined : this.#by;
  }

  /** Rejects with PENSTOCK_NFTABLES_REFUSED or NetlinkError; the next sync then compares everything. */
  async sync(table: RoutingView, changes: ChangeSet, queue: number): Promise<void> {
    const by = await this.way(queue);
    if (by === undefined) return;
    this.#mayBeThere = true;
    for (const each of this.#tables) {
      const { family } = each;
      await each.sync(table.servicePorts(family), changes.families[family], {
        family,
        queue,
        by,
        nodeAddress: table.node.addresses[family],
      });
    }
  }

  /** Rejects with NetlinkError. */
  async remove(): Promise<void> {
    if (this.#mayBeThere) for (const each of this.#tables) await each.remove();
    this.#mayBeThere = false;
  }

  close(): void {
    this.#channel.close();
  }

  async #findWay(queue: number): Promise<QueueBy | 'nothing'> {
    const table = this.#probe;
    if (table === undefined) return 'nothing';
    const { family } = table;
    for (const by of ['expression', 'target'] as const) {
      const probe = new Transaction(family, `${this.#content.name}-probe`);
      probe.createTable = true;
      append(probe.newSets, this.#content.sets(family));
      for (const chain of this.#content.chains({ family, queue, by, nodeAddress: undefined }))
        probe.addChain(chain);
      if ((await table.check(probe)) === undefined) return by;
    }
    return 'nothing';
  }
}
