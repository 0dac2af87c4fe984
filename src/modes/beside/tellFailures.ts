/** Gives modes iptables and ipvs a flow log: a table of its own beside rules that stay kube-proxy's. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../../config/NodeConfig.js';
import { FAILURE_CONTENT } from '../../dataplane/failures/failureContent.js';
import type { FailureSettings } from '../../dataplane/failures/failureSets.js';
import { localTraffic } from '../../dataplane/nftables/desired/NftablesSettings.js';
import { messageOf } from '../../errors.js';
import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { openNftablesChannel } from '../../kernel/nftables/table/openNftablesChannel.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Companion } from './AccompaniedDataplane.js';
import { KeyTables } from './KeyTables.js';

/** One for each mode that is opened. */
export class FailureTelling implements Companion {
  readonly #config: Pick<NodeConfig, 'detectLocal'>;
  readonly #mode: 'iptables' | 'ipvs';
  readonly #logGroup: number;
  readonly #log: Logger;
  readonly #channel: NetlinkChannel;
  readonly #tables: KeyTables<FailureSettings>;
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
    this.#tables = new KeyTables(
      this.#channel,
      families,
      FAILURE_CONTENT,
      'which tells of connections that fail',
    );
  }

  get committed(): number {
    return this.#tables.committed;
  }

  /** Never rejects. */
  async sync(table: RoutingView, changes: ChangeSet): Promise<void> {
    for (const each of this.#tables.all) {
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
    this.#tables.requireFull();
  }

  async verify(): Promise<string | undefined> {
    return this.#tables.verify();
  }

  close(): void {
    this.#channel.close();
  }
}
