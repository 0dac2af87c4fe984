/** A table of one kind in each family, beside the rules of a mode. */
import { KeyTable, type KeyTableContent } from '../../dataplane/family/KeyTable.js';
import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';

export class KeyTables<Settings> {
  readonly all: readonly KeyTable<Settings>[];
  readonly #what: string;

  /** `does`: `which hands first packets over`, for people who hear that one is gone. */
  constructor(
    channel: NetlinkChannel,
    families: readonly IpFamily[],
    content: KeyTableContent<Settings>,
    does: string,
  ) {
    this.all = families.map(
      (family) => new KeyTable(new NftablesTable(channel, family, content.name), content),
    );
    this.#what = `table ${content.name}, ${does}, is gone`;
  }

  /** Our own transactions: whoever watches the generation of the rule set must not take them for somebody else's. */
  get committed(): number {
    return this.all.reduce((sum, { committed }) => sum + committed, 0);
  }

  /** By family: what its table follows from, as far as known. */
  get settings(): Readonly<Partial<Record<IpFamily, Settings>>> {
    const known = this.all.flatMap(({ family, settings }) => (settings ? [[family, settings] as const] : []));
    return Object.fromEntries(known);
  }

  /** As KeyTable.addAhead(). */
  async addAhead(families: ChangeSet['families']): Promise<void> {
    for (const each of this.all) await each.addAhead(families[each.family]);
  }

  requireFull(): void {
    for (const each of this.all) each.requireFull();
  }

  /** A sentence when others removed one; the next sync repairs that. */
  async verify(): Promise<string | undefined> {
    const gone: string[] = [];
    for (const each of this.all) {
      const isThere = await each.isThere().catch(() => true);
      if (isThere) continue;
      each.requireFull();
      gone.push(`${each.family}: ${this.#what}`);
    }
    return gone.length === 0 ? undefined : gone.join('; ');
  }
}
