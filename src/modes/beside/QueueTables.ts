/** The tables of both families that hand first packets to one queue, and the way that this kernel has to it. */
import { append } from '../../append.js';
import type { QueueSettings } from '../../dataplane/choice/choiceSets.js';
import type { KeyTableContent } from '../../dataplane/family/KeyTable.js';
import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { QUEUE_WAYS } from '../../kernel/nftables/queueing.js';
import { Transaction } from '../../kernel/nftables/Transaction.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { openNftablesChannel } from '../../kernel/nftables/table/openNftablesChannel.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Clock } from '../../time/Clock.js';
import { KeyTables } from './KeyTables.js';

/** What a kernel has of all that such a table would use. */
type Way = Pick<QueueSettings, 'by' | 'unlimited'>;
const WAYS: readonly Way[] = [
  ...QUEUE_WAYS.map((by): Way => ({ by })),
  ...QUEUE_WAYS.map((by): Way => ({ by, unlimited: true })),
];

export class QueueTables {
  readonly families: readonly IpFamily[];
  readonly #content: KeyTableContent<QueueSettings>;
  readonly #channel: NetlinkChannel;
  readonly #tables: KeyTables<QueueSettings>;
  #way: Way | 'nothing' | undefined;
  /** They may be there from another agent. */
  #mayBeThere = true;

  constructor(families: readonly IpFamily[], content: KeyTableContent<QueueSettings>, clock: Clock) {
    this.families = families;
    this.#content = content;
    this.#channel = openNftablesChannel(clock);
    this.#tables = new KeyTables(this.#channel, families, content, 'which hands first packets over');
  }

  get committed(): number {
    return this.#tables.committed;
  }

  get settings(): KeyTables<QueueSettings>['settings'] {
    return this.#tables.settings;
  }

  requireFull(): void {
    this.#tables.requireFull();
  }

  /** A sentence when others removed one; the next sync repairs that. */
  async verify(): Promise<string | undefined> {
    return this.#tables.verify();
  }

  /** Undefined: this kernel has none. It is asked with the very rules that would be written, once. Rejects with NetlinkError. */
  async way(queue: number): Promise<Way | undefined> {
    this.#way ??= await this.#findWay(queue);
    return this.#way === 'nothing' ? undefined : this.#way;
  }

  /** Rejects with PENSTOCK_NFTABLES_REFUSED or NetlinkError; the next sync then compares everything. */
  async sync(
    table: RoutingView,
    changes: ChangeSet,
    { queue, queues }: Pick<QueueSettings, 'queue' | 'queues'>,
  ): Promise<void> {
    const way = await this.way(queue);
    if (way === undefined) return;
    this.#mayBeThere = true;
    for (const each of this.#tables.all) {
      const { family } = each;
      await each.sync(table.servicePorts(family), changes.families[family], {
        family,
        queue,
        ...(queues !== undefined && { queues }),
        ...way,
        nodeAddress: table.node.addresses[family],
      });
    }
  }

  /** As KeyTable.addAhead(). */
  async addAhead(families: ChangeSet['families']): Promise<void> {
    await this.#tables.addAhead(families);
  }

  /** Rejects with NetlinkError. */
  async remove(): Promise<void> {
    if (this.#mayBeThere) for (const each of this.#tables.all) await each.remove();
    this.#mayBeThere = false;
  }

  close(): void {
    this.#channel.close();
  }

  async #findWay(queue: number): Promise<Way | 'nothing'> {
    const [family] = this.families;
    if (family === undefined) return 'nothing';
    const table = new NftablesTable(this.#channel, family, this.#content.name);
    for (const way of WAYS) {
      const settings = { family, queue, ...way, nodeAddress: undefined };
      const probe = new Transaction(family, `${this.#content.name}-probe`);
      probe.createTable = true;
      append(probe.newSets, this.#content.sets(settings));
      for (const chain of this.#content.chains(settings)) probe.addChain(chain);
      if ((await table.check(probe)) === undefined) return way;
    }
    return 'nothing';
  }
}
