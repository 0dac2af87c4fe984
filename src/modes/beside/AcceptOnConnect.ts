/**
 * The other way to wake on connect, beside the rules of any mode: connections to Services that sleep are accepted at once, and passed
 * on when somebody serves (docs/first-packet.md). The proxy of mode userspace does it, one of its own, as long as a Service asks.
 */
import type { Logger } from 'pino';
import type { NodeConfig } from '../../config/NodeConfig.js';
import type { BesideTable, QueueState } from '../../dataplane/Dataplane.js';
import { EngineTable } from '../../dataplane/userspace/EngineTable.js';
import {
  ACCEPT_TABLE,
  type AcceptReport,
  type AcceptSettings,
  acceptContent,
} from '../../dataplane/wake/acceptSets.js';
import type { WakeListener } from '../../dataplane/wake/Holder.js';
import { messageOf } from '../../errors.js';
import { Cells } from '../../kernel/addon/Cells.js';
import type { NativeEngine } from '../../kernel/addon/NativeEngine.js';
import { nativeAddon } from '../../kernel/addon/nativeAddon.js';
import { openNftablesChannel } from '../../kernel/nftables/table/openNftablesChannel.js';
import type { IpFamily } from '../../net/ip.js';
import { asNew, type ChangeSet, isEmpty, type ServicePortChange } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { asksToAccept, fallingAsleep, isAccepting, readWake } from '../../routing/waking.js';
import { every } from '../../time/Clock.js';
import type { ModeHost } from '../ModeHost.js';
import type { Companion } from './AccompaniedDataplane.js';
import { AskingPorts } from './AskingPorts.js';
import { engineAddress } from './engineAddress.js';
import { KeyTables } from './KeyTables.js';
import { wakeOptions } from './WakeOnConnect.js';

const POLL_MS = 100;
/** Somebody who still waits is told of so often. */
const TELL_AGAIN_MS = 10_000;
const TRY_AGAIN_MS = 10_000;
const TCP = 6;
const OUTSIDE = 1;
/** native/engine/shared.h, Event::Kind. */
const WANTED = 7;
const WAITED_IN_VAIN = 8;
const WORDS_EACH = 4;
const OTHERWISE = 'connections to sleeping Services are refused, not accepted';
/** Annotations that mean something in mode userspace alone. */
const OF_THE_PROXY: readonly string[] = ['retries', 'idle-timeout', 'max-lifetime', 'proxy-protocol'];

/** The proxy, and what it knows. */
interface Open {
  readonly engine: NativeEngine;
  readonly cells: Cells;
  readonly table: EngineTable;
  readonly told: Map<number, number>;
  readonly endPoll: () => void;
  isListening: boolean;
}

export class AcceptOnConnect implements Companion {
  readonly #families: readonly IpFamily[];
  readonly #config: NodeConfig;
  readonly #host: ModeHost;
  readonly #log: Logger;
  readonly #mark: number;
  readonly #asking: AskingPorts;
  readonly #channel: ReturnType<typeof openNftablesChannel>;
  readonly #tables: KeyTables<AcceptSettings>;
  #open: Open | undefined;
  #hasMissed = false;
  /** They may be there from another agent. */
  #mayBeThere = true;
  #tryAgain = Number.NEGATIVE_INFINITY;
  /** Said once, until it works again. */
  #said = '';

  /** `mark`: of the proxy's own packets, which no rule of the mode captures; 0: none. */
  constructor(families: readonly IpFamily[], config: NodeConfig, host: ModeHost, log: Logger, mark = 0) {
    this.#families = families;
    this.#config = config;
    this.#host = host;
    this.#log = log;
    this.#mark = mark;
    this.#asking = new AskingPorts(families, asksToAccept);
    this.#channel = openNftablesChannel(host.clock);
    this.#tables = new KeyTables(
      this.#channel,
      families,
      acceptContent(wakeOptions(config)),
      'which sends connections to sleeping Services to the agent',
    );
  }

  /** Our own transactions: whoever watches the generation of the rule set must not take them for somebody else's. */
  get committed(): number {
    return this.#tables.committed;
  }

  get table(): BesideTable {
    return { kind: 'accept', settings: this.#tables.settings, why: this.#asking.any ? this.#said : '' };
  }

  /** Undefined where all is well: there is no queue to look at. */
  state(): QueueState | undefined {
    if (!this.#asking.any || this.#said === '') return undefined;
    return {
      kind: 'accept',
      queue: null,
      why: this.#said,
      otherwise: OTHERWISE,
      isWatched: true,
      letPass: 0,
    };
  }

  /** Undefined where no Service asks for it, or nobody can accept. */
  report(): AcceptReport | undefined {
    const open = this.#open;
    if (open === undefined) return undefined;
    let [asleep, accepted, failed] = [0, 0, 0];
    for (const { port, cell } of open.table.rows) {
      const counted = open.cells.service(cell);
      if (isAccepting(port)) asleep++;
      accepted += counted.connections;
      failed += counted.failed;
    }
    return { asleep, accepted, failed, active: open.engine.status.active };
  }

  async prepare(table: RoutingView, changes: ChangeSet): Promise<void> {
    const open = this.#open;
    if (!open?.isListening || this.#hasMissed) return;
    const falling = fallingAsleep(changes.families, isAccepting, asksToAccept);
    try {
      if (falling !== undefined) await this.#tables.addAhead(falling);
      if (isEmpty(changes) && (await this.#tables.verify()) !== undefined)
        await this.#write(open, table, changes);
    } catch {
      this.requireFull();
    }
  }

  /** Never rejects. The rules of the mode are in force. */
  async sync(table: RoutingView, changes: ChangeSet): Promise<void> {
    try {
      this.#asking.note(table, changes);
      if (!this.#asking.any) {
        await this.#end();
        return;
      }
      const isNew = this.#open === undefined;
      const open = this.#open ?? this.#start();
      if (open === undefined) return;
      // Who is sent to the proxy must be known there; and who waits there goes on before others pass it by.
      open.table.apply({
        IPv4: this.#toldOf('IPv4', isNew, table, changes),
        IPv6: this.#toldOf('IPv6', isNew, table, changes),
      });
      const { records } = open.table;
      if (records.length > 0) open.engine.update(records);
      open.table.said();
      if (!open.isListening) open.engine.startListening();
      open.isListening = true;
      await this.#write(open, table, changes);
      this.#hasMissed = false;
      this.#said = '';
    } catch (error) {
      this.#say(messageOf(error));
      this.requireFull();
    }
  }

  requireFull(): void {
    this.#hasMissed = true;
    this.#asking.forget();
    this.#tables.requireFull();
  }

  async verify(): Promise<string | undefined> {
    return this.#open && this.#tables.verify();
  }

  /** What it has accepted ends. The rules go: they would lead to a port that nobody has. */
  async close(): Promise<void> {
    try {
      await this.#end();
    } catch (error) {
      this.#log.warn(`table ${ACCEPT_TABLE} stays: ${messageOf(error)}`);
    }
    this.#channel.close();
  }

  #start(): Open | undefined {
    const { clock } = this.#host;
    if (clock.now() < this.#tryAgain) return undefined;
    this.#tryAgain = clock.now() + TRY_AGAIN_MS;
    const engine = new (nativeAddon().ProxyEngine)({
      threads: 1,
      untranslated: 0,
      ipv6: this.#families.includes('IPv6') ? 1 : 0,
      firstPort: 0,
      lastPort: 0,
      mark: this.#mark,
      takeOverFrom: '',
    });
    const cells = new Cells(engine.cells, () => clock.now());
    const open: Open = {
      engine,
      cells,
      table: new EngineTable(cells, {
        udpIdleTimeout: 0,
        drainTimeout: undefined,
        wait: ({ options }) => readWake(options).wake?.timeout ?? 0,
        ...(this.#config.algorithm !== '' && { algorithm: this.#config.algorithm }),
      }),
      told: new Map(),
      endPoll: every(clock, POLL_MS, () => this.#hear(open)),
      isListening: false,
    };
    this.#open = open;
    this.#tables.requireFull();
    this.#log.info(
      `connections to sleeping Services are accepted on port ${engine.port(TCP, 4, OUTSIDE)}: table ${ACCEPT_TABLE}`,
    );
    return open;
  }

  /** Nobody asks any more. */
  async #end(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    this.#tryAgain = Number.NEGATIVE_INFINITY;
    try {
      if (this.#mayBeThere) for (const each of this.#tables.all) await each.remove();
      this.#mayBeThere = false;
    } finally {
      open?.endPoll();
      open?.engine.close();
    }
  }

  async #write({ engine }: Open, table: RoutingView, changes: ChangeSet): Promise<void> {
    this.#mayBeThere = true;
    for (const each of this.#tables.all) {
      const { family } = each;
      await each.sync(table.servicePorts(family), changes.families[family], {
        family,
        address: engineAddress(family, table, this.#host.addresses()),
        port: engine.port(TCP, family === 'IPv4' ? 4 : 6, OUTSIDE),
        nodeAddress: table.node.addresses[family],
      });
    }
  }

  #toldOf(
    family: IpFamily,
    isNew: boolean,
    table: RoutingView,
    changes: ChangeSet,
  ): readonly ServicePortChange[] {
    if (!this.#families.includes(family)) return [];
    const all = isNew || this.#hasMissed;
    const told = all ? asNew(table.servicePorts(family).values()) : changes.families[family];
    const ports = table.servicePorts(family);
    const rows = all ? [...(this.#open?.table.rows ?? [])] : [];
    const gone = rows.filter(({ port }) => port.family === family && !ports.has(port.key));
    return [
      ...told.map(({ key, before, after }) => ({ key, before, after: after && this.#accepted(after) })),
      ...gone.map(({ port }) => ({ key: port.key, before: port, after: undefined })),
    ];
  }

  /** As the proxy is to see it; undefined: not at all. */
  #accepted(port: ServicePort): ServicePort | undefined {
    if (!asksToAccept(port)) return undefined;
    const isOfTheProxy = this.#config.mode === 'userspace';
    const own = Object.entries(port.options).filter(([name]) => isOfTheProxy || !OF_THE_PROXY.includes(name));
    // The client may be a neighbour of the endpoint, which would answer past this node.
    return { ...port, options: { ...Object.fromEntries(own), 'source-address': 'node' } };
  }

  #hear({ engine, cells, table, told }: Open): void {
    const { clock, waking } = this.#host;
    const events = engine.takeEvents();
    if (waking === undefined || (events.length === 0 && told.size === 0)) return;
    const kinds = new Map<number, number>();
    for (let at = 0; at < events.length; at += WORDS_EACH) kinds.set(events[at + 1] ?? 0, events[at] ?? 0);
    const now = clock.now();
    for (const { port, cell } of table.rows) {
      const kind = kinds.get(cell);
      if (!isAccepting(port)) told.delete(cell);
      else if (kind === WAITED_IN_VAIN) waking.timedOut(port);
      else if (kind === WANTED || told.has(cell)) this.#tell(waking, { port, cell, now, told, cells });
    }
  }

  /** At once, and every ten seconds that somebody still waits. */
  #tell(
    waking: WakeListener,
    {
      port,
      cell,
      now,
      told,
      cells,
    }: { port: ServicePort; cell: number; now: number; told: Map<number, number>; cells: Cells },
  ): void {
    const last = told.get(cell);
    if (last !== undefined && now - last < TELL_AGAIN_MS) return;
    if (last !== undefined && cells.service(cell).active === 0) {
      told.delete(cell);
      return;
    }
    told.set(cell, now);
    waking.wanted(port);
  }

  #say(why: string): void {
    if (this.#said !== why) this.#log.warn(`${OTHERWISE}: ${why}`);
    this.#said = why;
  }
}
