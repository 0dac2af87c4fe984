/**
 * Mode nftables: constant rules in a table of our own, everything else in maps, over netlink. One FamilySync for each
 * IP family of the host. docs/nftables.md shows the table.
 */

import { hostAddresses } from '../../kernel/host/hostAddresses.js';
import type { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import type { ForeignChange, TableWatch, TableWatchOptions } from '../../kernel/nftables/table/TableWatch.js';
import type { Cidr, IpAddress, IpFamily } from '../../net/ip.js';
import type { Protocol } from '../../objects/Service.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import { NodePortIndex } from '../../routing/NodePortIndex.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { type Clock, systemClock } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';
import type {
  Dataplane,
  DataplaneListener,
  FamilyReport,
  RuleDigest,
  RuleFacts,
  SetsByFamily,
  SyncReport,
  WantedKeysOfSet,
} from '../Dataplane.js';
import { syncFamilies } from '../family/syncFamilies.js';
import { ConnectionCounters } from './ConnectionCounters.js';
import { KeptSettings } from './desired/KeptSettings.js';
import type { HostFacts, NftablesOptions, NftablesSettings } from './desired/NftablesSettings.js';
import { TABLE } from './desired/sets.js';
import { FamilySync } from './FamilySync.js';
import { earlyPorts } from './plan/earlyPorts.js';
import { serviceOf } from './plan/portions.js';
import { type DigestOfTable, WantedDigest } from './plan/WantedDigest.js';

/** So many elements are written unheard: to ask twice for the generation costs less then than what the kernel says of them. */
const UNHEARD_ELEMENTS = 1024;
/** How long changes are listened to again when somebody else wrote while we did not listen. */
const HEARS_AGAIN_MS: Milliseconds = 600_000;

/** Keys that are handed over in one piece: little enough that whoever waits for them has something to do soon. */
const KEYS_AT_ONCE = 2048;

const NO_CIDRS: readonly Cidr[] = [];

/** What of the host this mode needs, injected. */
export interface NftablesHost {
  readonly tables: readonly NftablesTable[];
  /** A number that is one more after each transaction of anybody; undefined when it cannot be read. */
  readonly generation: () => Promise<number | undefined>;
  /** Tells of changes that others make to the tables, from now on. Undefined where that cannot be paused. */
  readonly watch: (
    handlers: Pick<TableWatchOptions, 'changed' | 'lost'>,
  ) => Pick<TableWatch, 'pause' | 'resume'> | undefined;
  /** Ports of ours on loopback that pass on connections to node ports on loopback. */
  readonly localhostPorts: (family: IpFamily) => HostFacts['localhostPorts'];
  /** A mark for packets that are for sockets with addresses of clients; routes of ours bring them there. 0 for none. */
  readonly divertMark?: (family: IpFamily) => number;
  /** NftablesSettings.untranslated; none when absent. */
  readonly untranslated?: (family: IpFamily) => readonly Cidr[];
  /** Another proxy may serve this host. Never when absent. Rejects when the kernel does not tell. */
  readonly servedByOthers?: () => Promise<boolean>;
  /** Releases what the above hold. */
  readonly close: () => Promise<void>;
  readonly addresses?: () => readonly IpAddress[];
  readonly clock?: Clock;
}

export class NftablesDataplane implements Dataplane {
  readonly #options: NftablesOptions;
  readonly #host: NftablesHost;
  readonly #listener: DataplaneListener;
  readonly #families: readonly FamilySync[];
  readonly #settings: Readonly<Record<IpFamily, KeptSettings>>;
  readonly #nodePorts = new NodePortIndex();
  readonly #now: () => Milliseconds;
  readonly connectionCounters: Dataplane['connectionCounters'];
  /** Never rejects. */
  #syncing: Promise<unknown> | undefined;
  #watching = false;
  #watch: Pick<TableWatch, 'pause' | 'resume'> | undefined;
  /** Nothing is written unheard until then: others write too, and each time everything would be looked at. */
  #hearsUntil: Milliseconds = 0;
  #hasSynced = false;
  #stance: NftablesSettings['stance'] = 'first';
  /** What the next verify() says. */
  #doubt: string | undefined;

  constructor(options: NftablesOptions, host: NftablesHost, listener: DataplaneListener) {
    this.#options = options;
    this.#host = host;
    this.#listener = listener;
    const { clock = systemClock } = host;
    const now = () => clock.now();
    this.#now = now;
    this.#families = host.tables.map((table) => new FamilySync(table, now));
    this.#settings = {
      IPv4: new KeptSettings(options, 'IPv4'),
      IPv6: new KeptSettings(options, 'IPv6'),
    };
    const counters = new ConnectionCounters(host.tables, now, async () => {
      await this.#syncing;
    });
    this.connectionCounters = options.counters ? (table) => counters.read(table) : undefined;
  }

  get families(): readonly IpFamily[] {
    return this.#families.map(({ family }) => family);
  }

  get description(): string {
    return `table ${this.#host.tables[0]?.name ?? TABLE}, over netlink, ${this.families.join(' and ')}`;
  }

  async isUnserved(): Promise<boolean> {
    for (const sync of this.#families) if (!(await sync.isUnserved())) return false;
    return !(await this.#host.servedByOthers?.());
  }

  async serveEarly(table: RoutingView): Promise<readonly string[]> {
    const served = new Set<string>();
    for (const sync of this.#families) {
      const ports = earlyPorts(table.servicePorts(sync.family).values());
      await sync.serveEarly(ports, this.#settingsOf(sync.family, table, this.#addresses()));
      for (const port of ports) served.add(serviceOf(port));
    }
    return [...served].sort();
  }

  sync(table: RoutingView, changes: ChangeSet): Promise<SyncReport> {
    const syncing = this.#sync(table, changes);
    this.#syncing = syncing.catch(() => {});
    return syncing;
  }

  async #sync(table: RoutingView, changes: ChangeSet): Promise<SyncReport> {
    this.#stance = 'first';
    // First of all, so that no failure below can lose them.
    for (const sync of this.#families) {
      sync.take(changes.families[sync.family]);
      this.#nodePorts.apply(sync.family, changes.families[sync.family]);
    }
    const write = () => this.#syncFamilies(table);
    const families = !this.#watching
      ? await this.#syncThenWatch(write)
      : this.#isDearToHear()
        ? await this.#syncUnheard(write)
        : await write();
    this.#hasSynced = true;
    return { families, problems: this.#families.flatMap((sync) => sync.problems) };
  }

  /**
   * The watch starts after the first sync, as the notices of a whole table would only fill the socket's buffer. What others
   * changed before shows in the generation, one more for each transaction: then everything is looked at again, watched.
   */
  async #syncThenWatch(sync: () => Promise<readonly FamilyReport[]>): Promise<readonly FamilyReport[]> {
    const before = await this.#generation();
    return this.#syncInBlind(sync, before, () => this.#startWatch());
  }

  #isDearToHear(): boolean {
    if (this.#watch === undefined || this.#now() < this.#hearsUntil) return false;
    return this.#families.some((sync) => sync.countWaiting(UNHEARD_ELEMENTS) >= UNHEARD_ELEMENTS);
  }

  /** As #syncThenWatch(), for many elements: what the kernel would say of each of them is not listened to. */
  async #syncUnheard(sync: () => Promise<readonly FamilyReport[]>): Promise<readonly FamilyReport[]> {
    const before = await this.#generation();
    // Whose generation that was may still be telling what it changed.
    await this.#host.tables[0]?.awaitOthers();
    this.#watch?.pause();
    return this.#syncInBlind(sync, before, () => this.#watch?.resume());
  }

  /** Looks at everything again when the generation is another than before: somebody wrote meanwhile. */
  async #syncInBlind(
    sync: () => Promise<readonly FamilyReport[]>,
    before: number | undefined,
    watch: () => void,
  ): Promise<readonly FamilyReport[]> {
    let reports: readonly FamilyReport[];
    try {
      try {
        reports = await sync();
      } finally {
        watch();
      }
      if (before !== undefined && before === (await this.#generation())) return reports;
    } catch (error) {
      // What others did meanwhile was not heard, and a family may have been written all the same.
      this.requireFull();
      throw error;
    }
    this.#hearsUntil = this.#now() + HEARS_AGAIN_MS;
    this.requireFull();
    const again = await sync();
    return reports.map((report, i) => together(report, again[i]));
  }

  /** The generation less the transactions that were our own. */
  async #generation(): Promise<number | undefined> {
    const generation = await this.#host.generation();
    const own = this.#host.tables.reduce((sum, { committed }) => sum + committed, 0);
    return generation === undefined ? undefined : (generation - own) >>> 0;
  }

  #syncFamilies(table: RoutingView): Promise<readonly FamilyReport[]> {
    const addresses = this.#addresses();
    return syncFamilies(this.#families, this.#listener, (sync) => {
      const { family } = sync;
      return sync.sync(table.servicePorts(family), this.#settingsOf(family, table, addresses));
    });
  }

  #addresses(): readonly IpAddress[] {
    return this.#host.addresses?.() ?? hostAddresses();
  }

  #settingsOf(family: IpFamily, table: RoutingView, addresses: readonly IpAddress[]): NftablesSettings {
    return this.#settings[family].of(table, {
      addresses,
      localhostPorts: this.#host.localhostPorts(family),
      divertMark: this.#host.divertMark?.(family) ?? 0,
      untranslated: this.#host.untranslated?.(family) ?? NO_CIDRS,
      stance: this.#stance,
    });
  }

  *digest(table: RoutingView, keysOf: SetsByFamily = {}): Generator<WantedKeysOfSet | undefined, RuleDigest> {
    const found: Partial<Record<IpFamily, DigestOfTable>> = {};
    for (const family of this.families) {
      const wanted = new WantedDigest(keysOf[family]);
      const handOver = function* (atLeast: number) {
        for (const keys of wanted.takeKeys(atLeast)) yield { family, ...keys };
      };
      for (const port of table.servicePorts(family).values()) {
        wanted.add(port);
        yield;
        yield* handOver(KEYS_AT_ONCE);
      }
      yield* handOver(1);
      found[family] = wanted.toJSON();
    }
    return { options: this.#options, families: found };
  }

  ruleFacts(): RuleFacts {
    const of = (family: IpFamily) => ({
      localhostPorts: this.#host.localhostPorts(family),
      divertMark: this.#host.divertMark?.(family) ?? 0,
    });
    return {
      logGroup: this.#options.logGroup ?? 0,
      families: Object.fromEntries(this.families.map((family) => [family, of(family)])),
    };
  }

  async standBack(table: RoutingView): Promise<void> {
    await this.#syncing;
    // What was never synced is as whoever was here before left it.
    if (!this.#hasSynced) return;
    this.#stance = 'behind';
    // What let others go first is written too: nobody comes after.
    while ((await this.#syncFamilies(table)).some(({ waiting }) => waiting));
  }

  /** Who a node port belongs to, for those who pass on connections themselves. */
  ownerOf(family: IpFamily, protocol: Protocol, nodePort: number): ServicePort | undefined {
    return this.#nodePorts.get(family, protocol, nodePort);
  }

  /** The kernel tells of changes by itself; this says when it told too much at once for all of it to be heard. */
  async verify(): Promise<string | undefined> {
    const doubt = this.#doubt;
    this.#doubt = undefined;
    return doubt;
  }

  requireFull(): void {
    for (const sync of this.#families) sync.requireFull();
  }

  #startWatch(): void {
    this.#watching = true;
    this.#watch = this.#host.watch({
      changed: (changes, by) => {
        for (const sync of this.#families) {
          const own = changes.filter(({ family }) => family === sync.family);
          if (own.length > 0) sync.distrust(own);
        }
        this.#listener.foreignChange(`${by}: ${describe(changes)}`);
      },
      lost: () => {
        this.requireFull();
        this.#doubt = 'the kernel reported more changes at once than could be read; everything is looked at';
      },
    });
  }

  async close(): Promise<void> {
    await this.#host.close();
  }
}

/** Changes named in a sentence. */
const NAMED = 3;

function describe(changes: readonly ForeignChange[]): string {
  const deleted = changes.filter(({ kind, text }) => kind === 'table' && text.endsWith('deleted'));
  const list = deleted.length > 0 ? deleted : changes;
  const more = list.length > NAMED ? ` and ${list.length - NAMED} changes more` : '';
  return `${list
    .slice(0, NAMED)
    .map(({ family, text }) => `${family} ${text}`)
    .join(', ')}${more}`;
}

/** A sync and the one that followed at once. */
function together(first: FamilyReport, second: FamilyReport | undefined): FamilyReport {
  if (second === undefined) return first;
  return {
    ...(second.kind === 'none' ? first : second),
    written: first.written + second.written,
    transactions: first.transactions + second.transactions,
    kernelMs: first.kernelMs + second.kernelMs,
    totalMs: first.totalMs + second.totalMs,
    waiting: second.waiting,
  };
}
