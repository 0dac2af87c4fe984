/**
 * Mode iptables: kube-proxy's chains and rules, written through iptables-restore. One FamilySync for each IP family
 * the host supports; this file prepares the host and watches for others who change our rules.
 */

import { messageOf } from '../../errors.js';
import { hostAddresses } from '../../kernel/host/hostAddresses.js';
import type { Sysctls } from '../../kernel/sysctl/Sysctls.js';
import type { XtablesTool } from '../../kernel/xtables/XtablesTool.js';
import type { IpAddress, IpFamily } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { type Clock, systemClock } from '../../time/Clock.js';
import type { Dataplane, DataplaneListener, FamilyReport, RulePackets, SyncReport } from '../Dataplane.js';
import { syncFamilies } from '../family/syncFamilies.js';
import { FamilySync } from './FamilySync.js';
import { type IptablesOptions, ruleSettings } from './IptablesOptions.js';
import { verifyAnchors, verifyCounts } from './plan/verifyRules.js';
import {
  NFACCT_INVALID_DROPPED,
  NFACCT_LOCALHOST_NODE_PORTS,
  type RuleSettings,
} from './rules/RuleSettings.js';
import { LIBERAL, ROUTE_LOCALNET } from './sysctls.js';

/** Tells cheaply whether anybody changed rules of this backend. */
export interface RulesetWatch {
  /** A text that is another after a change; undefined when it cannot be read. */
  state(): Promise<string | undefined>;
  /** Whether this many transactions of our own explain the step from one state to the other. */
  isOurs(before: string, after: string, transactions: number): boolean;
}

/** What of the host this mode needs, injected. */
export interface IptablesHost {
  readonly tools: readonly XtablesTool[];
  readonly sysctls: Sysctls;
  /** Makes the named packet counters (nfacct); false where the kernel has none. */
  readonly createCounters: (names: readonly string[]) => Promise<boolean>;
  /** The packets of every such counter, by name. Rejects when the kernel does not tell. */
  readonly readCounters: () => Promise<ReadonlyMap<string, number>>;
  readonly watch: RulesetWatch;
  /** Releases what the functions above hold. */
  readonly close: () => Promise<void>;
  readonly addresses?: () => readonly IpAddress[];
  readonly clock?: Clock;
}

export class IptablesDataplane implements Dataplane {
  readonly #options: IptablesOptions;
  readonly #host: IptablesHost;
  readonly #listener: DataplaneListener;
  readonly #families: ReadonlyMap<IpFamily, FamilySync>;
  readonly #clock: Clock;
  readonly #conntrackLiberal: boolean;
  readonly #settings = new Map<IpFamily, RuleSettings>();
  /** Why node ports on 127.0.0.1 are left out. */
  #localnetProblem: Problem | undefined;
  /** Undefined until the host was prepared. */
  #accounting: boolean | undefined;
  /** The state at which everything was seen in place. */
  #seenState: string | undefined;
  /** Somebody changed something since every chain was last counted. */
  #owesCount = true;
  #countedAt: number;

  constructor(options: IptablesOptions, host: IptablesHost, listener: DataplaneListener) {
    this.#options = options;
    this.#host = host;
    this.#listener = listener;
    this.#clock = host.clock ?? systemClock;
    this.#families = new Map(
      host.tools.map((tool) => [
        tool.family,
        new FamilySync({
          tool,
          retryMs: options.syncPeriodMs,
          clock: this.#clock,
          onRestoreFailed: (kind) => listener.restoreFailed(tool.family, kind),
        }),
      ]),
    );
    this.#countedAt = this.#clock.now();
    this.#conntrackLiberal = (host.sysctls.read(LIBERAL) ?? '0') !== '0';
  }

  get families(): readonly IpFamily[] {
    return [...this.#families.keys()];
  }

  get description(): string {
    return this.#host.tools.map((tool) => tool.description).join(', ');
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<SyncReport> {
    // First of all, so that no failure below can lose them.
    for (const [family, sync] of this.#families) sync.take(changes.families[family]);
    const accounting = await this.#createCounters();
    const before = await this.#host.watch.state();
    const reports = await syncFamilies(this.#families.values(), this.#listener, (sync) => {
      const settings = this.#settingsFor(sync.family, table, accounting);
      this.#settings.set(sync.family, settings);
      return sync.sync(table.servicePorts(sync.family), settings);
    });
    await this.#noteOwnChanges(before, reports);
    const problems = [...this.#families.values()].flatMap((sync) => sync.problems);
    return {
      families: reports,
      problems: [...problems, ...(this.#localnetProblem ? [this.#localnetProblem] : [])],
    };
  }

  async verify(): Promise<string | undefined> {
    const state = await this.#host.watch.state();
    const changed = state === undefined || state !== this.#seenState;
    this.#owesCount ||= changed;
    const count = this.#owesCount && this.#clock.now() - this.#countedAt >= this.#options.syncPeriodMs;
    for (const tool of this.#host.tools) {
      const sync = this.#families.get(tool.family);
      const settings = this.#settings.get(tool.family);
      if (!sync || !settings) continue;
      const wrong =
        (changed ? await verifyAnchors(tool, sync.rules, settings) : undefined) ??
        (count ? await verifyCounts(tool, sync.rules, settings) : undefined);
      if (wrong === undefined) continue;
      sync.requireFull();
      return `${tool.family}: ${wrong}`;
    }
    this.#seenState = state;
    if (count) {
      this.#owesCount = false;
      this.#countedAt = this.#clock.now();
    }
    return undefined;
  }

  requireFull(): void {
    for (const sync of this.#families.values()) sync.requireFull();
  }

  async rulePackets(): Promise<RulePackets> {
    const packets = this.#accounting ? await this.#host.readCounters() : undefined;
    return {
      invalidDropped: packets?.get(NFACCT_INVALID_DROPPED),
      localhostNodePortsAccepted: packets?.get(NFACCT_LOCALHOST_NODE_PORTS),
    };
  }

  async close(): Promise<void> {
    await this.#host.close();
  }

  async #createCounters(): Promise<boolean> {
    this.#accounting ??= await this.#host.createCounters([
      NFACCT_INVALID_DROPPED,
      NFACCT_LOCALHOST_NODE_PORTS,
    ]);
    return this.#accounting;
  }

  /** Spares the next verification when nobody but us changed anything since the last one. */
  async #noteOwnChanges(before: string | undefined, reports: readonly FamilyReport[]): Promise<void> {
    if (before === undefined || before !== this.#seenState) return;
    const after = await this.#host.watch.state();
    const transactions = reports.reduce((sum, report) => sum + report.transactions, 0);
    if (after !== undefined && this.#host.watch.isOurs(before, after, transactions)) this.#seenState = after;
  }

  #settingsFor(family: IpFamily, table: RoutingView, accounting: boolean): RuleSettings {
    const facts = {
      addresses: this.#host.addresses?.() ?? hostAddresses(),
      randomFully: this.#host.tools.every((tool) => tool.version.randomFully),
      conntrackLiberal: this.#conntrackLiberal,
      accounting,
    };
    const settings = ruleSettings(this.#options, family, table, facts);
    if (!settings.localhostNodePorts || this.#routesLocalnet()) return settings;
    return ruleSettings({ ...this.#options, localhostNodePorts: false }, family, table, facts);
  }

  /** Packets from 127.0.0.1 leave the host only with this; the guard rule in KUBE-FIREWALL keeps others out. */
  #routesLocalnet(): boolean {
    try {
      this.#host.sysctls.ensure(ROUTE_LOCALNET, '1');
      this.#localnetProblem = undefined;
    } catch (error) {
      this.#localnetProblem = {
        subject: 'node ports on 127.0.0.1',
        message: `${messageOf(error)}; they are not served there. Run penstock once with --init-only as root, or set iptables.localhostNodePorts: false`,
      };
    }
    return this.#localnetProblem === undefined;
  }
}
