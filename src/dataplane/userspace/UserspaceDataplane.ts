/**
 * Mode userspace: a proxy that tries the next endpoint when one fails. The engine (native/engine/) carries the bytes; the
 * kernel's rules, those of mode nftables in a table of their own, send it every connection that may be served.
 */

import { messageOf } from '../../errors.js';
import { Cells } from '../../kernel/addon/Cells.js';
import type { NativeEngine } from '../../kernel/addon/NativeEngine.js';
import type { IpAddress, IpFamily } from '../../net/ip.js';
import { asNew, type ChangeSet, type ServicePortChange } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { type Clock, every, sleep, systemClock } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';
import {
  type Dataplane,
  type DataplaneListener,
  NO_RULE_FACTS,
  type ProxyReport,
  type RuleFacts,
  type SyncReport,
} from '../Dataplane.js';
import { CaptureView, type EngineAddress, throughViews } from './CaptureView.js';
import { DrainDeadlines } from './DrainDeadlines.js';
import { EngineTable, type LeavingEndpoint, loopText } from './EngineTable.js';
import type { EncodingFacts } from './encodeServices.js';
import { describeEvents, loops } from './engineEvents.js';
import type { ProxyDefaults } from './proxyOptions.js';
import { proxyReport } from './proxyReport.js';
import type { SocketLookup } from './SocketLookup.js';

export interface UserspaceOptions extends ProxyDefaults {
  readonly families: readonly IpFamily[];
  /** How long connections may go on when the agent stops. */
  readonly shutdownTimeout: Milliseconds;
  /** Unix socket where a successor may ask for the listening sockets; undefined: none may. */
  readonly takeoverPath: string | undefined;
}

export interface UserspaceHost {
  readonly engine: NativeEngine;
  /** Mode nftables, in CAPTURE_TABLE. */
  readonly capture: (listener: DataplaneListener) => Dataplane;
  /** An address of this host of the family that redirected connections are sent to. */
  readonly address: (family: IpFamily, table: RoutingView) => IpAddress;
  /** Of this node, as `table` has it; the same object until something differs. */
  readonly facts: (family: IpFamily, table: RoutingView) => EncodingFacts;
  /** Routes for connections that bear addresses of clients. */
  readonly divert: (family: IpFamily, what: 'add' | 'remove') => Promise<unknown>;
  /** Absent: every connection is redirected. */
  readonly lookup?: SocketLookup;
  readonly say: (level: 'info' | 'warn', text: string) => void;
  readonly clock?: Clock;
}

/** How often the engine is asked for news. */
const POLL_MS: Milliseconds = 100;
const OFFER_TRIES = 20;
/** A successor that looks nothing up needs our program until its rules are in force, which it writes when it has our sockets. */
const SUCCESSION_MS: Milliseconds = 2000;
const NO_CHANGES: ChangeSet = { families: { IPv4: [], IPv6: [] }, triggerTimes: [] };

export class UserspaceDataplane implements Dataplane {
  readonly #options: UserspaceOptions;
  readonly #host: UserspaceHost;
  readonly #listener: DataplaneListener;
  readonly #capture: Dataplane;
  readonly #engine: NativeEngine;
  readonly #cells: Cells;
  readonly #table: EngineTable;
  readonly #drains: DrainDeadlines;
  readonly #views = new Map<IpFamily, CaptureView>();
  readonly #clock: Clock;
  readonly #endPoll: () => void;
  #cancelOffer: () => void = () => {};
  /** Families with routes of ours; unknown at first. */
  readonly #diverted = new Map<IpFamily, boolean>();
  readonly #undivertable = new Set<IpFamily>();
  #routing: RoutingView | undefined;
  /** What the capture was not told of yet, and what the drains were not. */
  #captured: ChangeSet = NO_CHANGES;
  readonly #leaving: LeavingEndpoint[] = [];
  #listening = false;
  #closed = false;
  /** Another process has our sockets: what the kernel holds is its business now. */
  #succeeded = false;

  constructor(options: UserspaceOptions, host: UserspaceHost, listener: DataplaneListener) {
    this.#options = options;
    this.#host = host;
    this.#listener = listener;
    this.#capture = host.capture({
      ...listener,
      foreignChange: (what) => this.#succeeded || listener.foreignChange(what),
    });
    this.#engine = host.engine;
    this.#clock = host.clock ?? systemClock;
    this.#cells = new Cells(host.engine.cells, () => this.#clock.now());
    this.#table = new EngineTable(this.#cells, options, (family) =>
      host.facts(family, this.#routing as RoutingView),
    );
    this.#drains = new DrainDeadlines(this.#clock, (cell) => this.#engine.resetEndpoint(cell));
    this.#endPoll = every(this.#clock, POLL_MS, () => this.#listenToEngine());
  }

  get description(): string {
    const ports = this.#options.families.map((family) => this.#addressOf(family, '').TCP.inside).join(', ');
    const how = this.#host.lookup?.isUsable ? 'socket lookup and ' : '';
    return `proxy on port ${ports}, captured by ${how}${this.#capture.description}`;
  }

  get families(): readonly IpFamily[] {
    return this.#capture.families;
  }

  get digest(): Dataplane['digest'] {
    const capture = this.#capture;
    const digest = capture.digest;
    return digest && ((table, keysOf) => digest.call(capture, throughViews(table, this.#views), keysOf));
  }

  get connectionCounters(): Dataplane['connectionCounters'] {
    const capture = this.#capture;
    const read = capture.connectionCounters;
    return read && ((table) => read.call(capture, throughViews(table, this.#views)));
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<SyncReport> {
    if (this.#succeeded) return { families: [], problems: [] };
    this.#routing = table;
    await this.#prepareLookup(table);
    this.#take(table, changes);
    await this.#divert();
    // The engine before the rules: whoever they send there must be known.
    this.#tellEngine();
    if (!this.#listening) this.#startListening();
    const captured = this.#captured;
    this.#captured = NO_CHANGES;
    const report = await this.#capture.sync(throughViews(table, this.#views), captured);
    await this.#settleLookup();
    return { ...report, problems: [...report.problems, ...this.#table.problems] };
  }

  /** Never rejects. What cannot be looked up is redirected. */
  async #prepareLookup(table: RoutingView): Promise<void> {
    for (const family of this.#options.families) {
      const source = this.#host.address(family, table);
      const others = { addresses: [source], pods: this.#host.facts(family, table).pods };
      await this.#host.lookup?.prepare(family, table.serviceCIDRs(family), source, others);
    }
  }

  /** A route too many is no harm to anybody: the rules are in force. */
  async #settleLookup(): Promise<void> {
    try {
      await this.#host.lookup?.settle();
    } catch (error) {
      this.#host.say('warn', `routes of ours that are not needed may be left: ${messageOf(error)}`);
    }
  }

  /** First of all that may fail, so that no failure can lose anything. */
  #take(table: RoutingView, changes: ChangeSet): void {
    const { leaving, returned } = this.#table.apply(changes.families);
    for (const cell of returned) this.#drains.returned(cell);
    for (const each of leaving) this.#leaving.push(each);
    const seen = this.#view(table, changes);
    this.#listener.captured(seen);
    this.#captured = merged(this.#captured, seen);
  }

  /** What it could not take is told again the next time. */
  #tellEngine(): void {
    const records = this.#table.records;
    if (records.length > 0) this.#engine.update(records);
    this.#table.said();
    // Not before the engine sends them nobody new.
    for (const endpoint of this.#leaving.splice(0)) this.#drains.leaving(endpoint);
  }

  /** Whether packets for connections with addresses of clients are to be marked. */
  isTransparent(family: IpFamily): boolean {
    return this.#diverted.get(family) === true;
  }

  /**
   * Without the routes endpoints see the node's address; nothing else is lost, and each sync tries again. Connections that
   * bear addresses of clients need the routes as long as they last: what was there before us goes at the first sync, what
   * is ours stays.
   */
  async #divert(): Promise<void> {
    for (const family of this.#options.families) {
      const wanted = this.#table.isTransparent(family);
      const diverted = this.#diverted.get(family);
      if (diverted === wanted || diverted === true) continue;
      try {
        await this.#host.divert(family, wanted ? 'add' : 'remove');
        this.#diverted.set(family, wanted);
        this.#table.setDiverted(family, true);
        if (this.#undivertable.delete(family))
          this.#host.say('info', `endpoints see the addresses of ${family} clients from now on`);
      } catch (error) {
        this.#table.setDiverted(family, false);
        if (!wanted || this.#undivertable.has(family)) continue;
        this.#undivertable.add(family);
        this.#host.say(
          'warn',
          `endpoints see the node's address, not that of ${family} clients: this node has no policy routing (${messageOf(error)})`,
        );
      }
    }
  }

  ruleFacts(table: RoutingView): RuleFacts {
    const facts = this.#capture.ruleFacts?.(table) ?? NO_RULE_FACTS;
    const engine = (family: IpFamily) => this.#addressOf(family, this.#host.address(family, table));
    const families = Object.entries(facts.families).map(([family, own]) => [
      family,
      { ...own, engine: engine(family as IpFamily) },
    ]);
    return { ...facts, families: Object.fromEntries(families) };
  }

  async verify(): Promise<string | undefined> {
    if (this.#succeeded) return undefined;
    const routes = await this.#host.lookup?.verify();
    return (await this.#capture.verify()) ?? routes;
  }

  requireFull(): void {
    this.#capture.requireFull();
  }

  /** A successor has taken the rules over: they stay where they are. */
  async standBack(table: RoutingView): Promise<void> {
    if (!this.#succeeded) await this.#capture.standBack?.(throughViews(table, this.#views));
  }

  proxyReport(): ProxyReport {
    return proxyReport(this.#engine.status, this.#table, this.#cells);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#endPoll();
    this.#cancelOffer();
    this.#drains.close();
    this.#host.lookup?.close();
    await this.#capture.close();
    if (this.#listening) {
      this.#engine.stopListening();
      if (this.#succeeded && this.#isLookedUp()) await sleep(this.#clock, SUCCESSION_MS);
      await this.#drain();
    }
    this.#engine.close();
  }

  #isLookedUp(): boolean {
    return this.#options.families.some((family) => (this.#host.lookup?.ranges(family).length ?? 0) > 0);
  }

  async #drain(): Promise<void> {
    const { shutdownTimeout } = this.#options;
    const { active } = this.#engine.status;
    if (active === 0) return;
    this.#host.say('info', `waiting up to ${shutdownTimeout / 1000} s for ${active} connections to end`);
    const deadline = this.#clock.now() + shutdownTimeout;
    while (this.#engine.status.active > 0 && this.#clock.now() < deadline) await sleep(this.#clock, POLL_MS);
    const left = this.#engine.status.active;
    if (left > 0) this.#host.say('warn', `${left} connections are cut: their time is over`);
  }

  #startListening(): void {
    const inherited = this.#engine.status.inherited === 1;
    this.#engine.startListening();
    this.#listening = true;
    if (inherited) this.#host.say('info', 'took over the listening sockets of the penstock that ran here');
    const { takeoverPath } = this.#options;
    if (takeoverPath !== undefined) this.#offer(takeoverPath, OFFER_TRIES);
  }

  /** The path is free once the predecessor has let go of it. */
  #offer(path: string, tries: number): void {
    if (this.#closed) return;
    try {
      this.#engine.offerTakeover(path);
    } catch (error) {
      if (tries > 0) this.#cancelOffer = this.#clock.after(POLL_MS, () => this.#offer(path, tries - 1));
      else this.#host.say('warn', `an upgrade will not be able to take over without a gap: ${String(error)}`);
    }
  }

  #addressOf(family: IpFamily, address: string): EngineAddress {
    const number = family === 'IPv4' ? 4 : 6;
    const ports = (protocol: number) => ({
      inside: this.#engine.port(protocol, number, 0),
      outside: this.#engine.port(protocol, number, 1),
    });
    const untranslated = this.#host.lookup?.ranges(family) ?? [];
    const own = { address: address as IpAddress, TCP: ports(6), UDP: ports(17) };
    return untranslated.length === 0 ? own : { ...own, untranslated };
  }

  /** Where an address of the host is another, every service port must be sent elsewhere. */
  #view(table: RoutingView, changes: ChangeSet): ChangeSet {
    const capture = (family: IpFamily): readonly ServicePortChange[] => {
      if (!this.#options.families.includes(family)) return [];
      const address = this.#addressOf(family, this.#host.address(family, table));
      const known = this.#views.get(family);
      if (known?.isFor(address)) return known.apply(changes.families[family]);
      const view = new CaptureView(address);
      this.#views.set(family, view);
      view.apply(asNew(table.servicePorts(family).values()));
      const present = view.servicePorts;
      const keys = new Set([...(known?.servicePorts.keys() ?? []), ...present.keys()]);
      return [...keys].map((key) => ({ key, before: known?.servicePorts.get(key), after: present.get(key) }));
    };
    return {
      families: { IPv4: capture('IPv4'), IPv6: capture('IPv6') },
      triggerTimes: changes.triggerTimes,
    };
  }

  #listenToEngine(): void {
    const events = this.#engine.takeEvents();
    for (const { level, text } of describeEvents(events, (cell) => this.#table.nameOf(cell))) {
      this.#host.say(level, text);
    }
    for (const [service, endpoint] of loops(events)) {
      if (!this.#table.noteLoop(service, endpoint)) continue;
      this.#host.say('warn', `${this.#table.nameOf(service)}: ${loopText(this.#table.nameOf(endpoint))}`);
    }
    if (this.#succeeded || this.#engine.status.succeeded === 0) return;
    this.#succeeded = true;
    this.#listener.succeeded();
  }
}

/** Two change sets, one after the other. */
function merged(older: ChangeSet, newer: ChangeSet): ChangeSet {
  const both = (family: IpFamily): readonly ServicePortChange[] => {
    if (older.families[family].length === 0) return newer.families[family];
    const known = new Map(older.families[family].map((change) => [change.key, change]));
    for (const { key, before, after } of newer.families[family]) {
      const first = known.get(key);
      known.set(key, { key, before: first ? first.before : before, after });
    }
    return [...known.values()];
  };
  return {
    families: { IPv4: both('IPv4'), IPv6: both('IPv6') },
    triggerTimes: [...older.triggerTimes, ...newer.triggerTimes],
  };
}
