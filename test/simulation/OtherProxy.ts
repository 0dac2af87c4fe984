/** kube-proxy in mode iptables on a simulated host: whom penstock leaves the node to. It syncs when it is told to. */

import { makeTable } from '../../src/agent/makeTable.js';
import { UNHEARD } from '../../src/dataplane/Dataplane.js';
import { IptablesDataplane } from '../../src/dataplane/iptables/IptablesDataplane.js';
import { iptablesOptions } from '../../src/modes/iptablesMode.js';
import { IP_FAMILIES } from '../../src/net/ip.js';
import { runFile } from '../unit/config/runCommand.js';
import { FALLBACK, HOST_ADDRESSES } from './addresses.js';
import { type Cluster, NODE } from './Cluster.js';
import { NoSysctls } from './NoSysctls.js';
import { removeIptables } from './removeOthers.js';
import type { SimulatedHost } from './SimulatedHost.js';

export class OtherProxy {
  readonly #host: SimulatedHost;
  readonly #cluster: Cluster;
  runs = false;

  constructor(host: SimulatedHost, cluster: Cluster) {
    this.#host = host;
    this.#cluster = cluster;
  }

  /** Its rules are in force for the objects as they are. */
  async sync(): Promise<void> {
    this.runs = true;
    const { config } = runFile(`mode: iptables\nhostnameOverride: ${NODE}\n`);
    const table = makeTable(config, FALLBACK);
    table.apply(this.#cluster.changes());
    const dataplane = new IptablesDataplane(
      iptablesOptions(config),
      {
        tools: await this.#tools(),
        sysctls: new NoSysctls(),
        createCounters: async () => true,
        readCounters: async () => new Map(),
        watch: { state: async () => undefined, isOurs: () => true },
        close: async () => {},
        addresses: () => HOST_ADDRESSES,
      },
      UNHEARD,
    );
    await dataplane.sync(table, table.commit());
  }

  /** As kube-proxy --cleanup. */
  async end(): Promise<void> {
    if (!this.runs) return;
    this.runs = false;
    for (const tool of await this.#tools()) await removeIptables(tool);
  }

  #tools() {
    return Promise.all(IP_FAMILIES.map((family) => this.#host.xtables[family].open()));
  }
}
