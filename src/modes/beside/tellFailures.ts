/** Gives modes iptables and ipvs a flow log: a table of its own beside rules that stay kube-proxy's. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../../config/NodeConfig.js';
import { FailureTable } from '../../dataplane/failures/FailureTable.js';
import { FAILURE_TABLE } from '../../dataplane/failures/failureSets.js';
import { localTraffic } from '../../dataplane/nftables/desired/NftablesSettings.js';
import { messageOf } from '../../errors.js';
import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { openNftablesChannel } from '../../kernel/nftables/table/openNftablesChannel.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Companion } from './AccompaniedDataplane.js';

/** One for each mode that is opened. */
export class FailureTelling implements Companion {
  readonly #config: Pick<NodeConfig, 'detectLocal'>;
  readonly #mode: 'iptables' | 'ipvs';
  readonly #logGroup: number;
  readonly #log: Logger;
  readonly #channel: NetlinkChannel;
  readonly #tables: readonly FailureTable[];
  /** Said once, until it works again. */
  #failed = false;

  constructor(
    config: Pick<NodeConfig, 'detectLocal'>,
    mode: 'iptables' | 'ipvs',
    families: readonly IpFamily[],
    logGroup: number,
    log: Logger,
  ) {
    this.#config = config;
    this.#mode = mode;
    this.#logGroup = logGroup;
    this.#log = log;
    this.#channel = openNftablesChannel();
    this.#tables = families.map(
      (family) => new FailureTable(new NftablesTable(this.#channel, family, FAILURE_TABLE)),
    );
  }

  /** Our own transactions: whoever watches the generation of the rule set must not take them for somebody else's. */
  get committed(): number {
    return this.#tables.reduce((sum, { committed }) => sum + committed, 0);
  }

  /** Never rejects. */
  async sync(table: RoutingView, changes: ChangeSet): Promise<void> {
    for (const each of this.#tables) {
      const { family } = each;
      try {
        await each.sync(table.servicePorts(family), changes.families[family], {
          family,
          mode: this.#mode,
          logGroup: this.#logGroup,
          localTraffic: localTraffic(this.#config.detectLocal, family, table.nodeObject?.podCIDRs ?? []),
        });
        this.#failed = false;
      } catch (error) {
        if (!this.#failed) this.#log.warn(`connections that fail are not logged: ${messageOf(error)}`);
        this.#failed = true;
      }
    }
  }

  requireFull(): void {
    for (const each of this.#tables) each.requireFull();
  }

  /** A sentence when somebody removed the table; the next sync then writes it again. */
  async verify(): Promise<string | undefined> {
    for (const each of this.#tables) {
      const isThere = await each.isThere().catch(() => true);
      if (isThere) continue;
      each.requireFull();
      return `${each.family}: table ${FAILURE_TABLE}, which tells of connections that fail, is gone`;
    }
    return undefined;
  }

  close(): void {
    this.#channel.close();
  }
}
