/** penstock top: what Services carry right now, live, from the kernel's table of connections. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Conntrack } from '../../../kernel/conntrack/Conntrack.js';
import { type ConntrackEntry, isSentOn } from '../../../kernel/conntrack/ConntrackEntry.js';
import { ConntrackStatus } from '../../../kernel/conntrack/constants.js';
import { joinHostPort } from '../../../net/ip.js';
import { printableJson } from '../../../net/printable.js';
import { systemClock } from '../../../time/Clock.js';
import { readArguments, readLimit, WrongCall } from '../../readArguments.js';
import { type Look, look, noSuchService } from '../look.js';
import { MODEL_FLAGS, MODEL_HELP } from '../modelFlags.js';
import { type Format, formatOf, OUTPUT_FLAG, print } from '../output.js';
import { FailureCounts } from './FailureCounts.js';
import { MOST_CONNECTIONS, TrafficCount, type TrafficSample } from './TrafficCount.js';
import { sortRows, TOP_COLUMNS, type TopColumn, type TopRow, topText } from './topRows.js';
import {
  isOfService,
  protocolName,
  readPlaces,
  readPods,
  type ServicePlaces,
  serviceOf,
} from './trafficNames.js';
import { withConntrack } from './withConntrack.js';

export const HELP = `penstock top [NAMESPACE/SERVICE] [--once] [--interval SECONDS] [-o json]

Shows live which Services have new, open, silent and failed connections, and
what they carry; for one Service, its endpoints. Reads the kernel's table of
connections, at most ${MOST_CONNECTIONS} of them. Ends with Ctrl-C. Needs root.

  NEW/s    connections that began since the look before
  OPEN     connections that are established
  BYTES/s  of both directions; needs sysctl net.netfilter.nf_conntrack_acct=1
  SILENT   connections that still have no answer at all
  FAILED   refused or dropped since the command began; the agent tells

  --once                 one table, after an interval, then end
  --interval SECONDS     between looks (default 2; 1 for --once)
  --sort COLUMN          new (default), open, bytes, silent or failed
  --limit N              at most so many lines (default: what fits, or 20)

${MODEL_HELP}
JSON is one object a look, with all lines. Exit status: 0; 2 could not look.
`;

const DEFAULT_LIMIT = 20;
/** Lines of a terminal that are no rows. */
const OTHER_LINES = 6;
const NAMES_FRESH_MS = 30_000;
/** Where destinations are rewritten by the NAT of the kernel, it leaves out all other connections. */
const REWRITTEN = {
  mask: ConntrackStatus.DESTINATION_NAT,
  value: ConntrackStatus.DESTINATION_NAT,
};

export async function top(argv: readonly string[]): Promise<number> {
  const { values, words } = readArguments(argv, {
    options: {
      ...OUTPUT_FLAG,
      ...MODEL_FLAGS,
      once: { type: 'boolean' },
      interval: { type: 'string' },
      sort: { type: 'string' },
      limit: { type: 'string' },
    },
    words: [0, 1],
    wordsText: 'NAMESPACE/SERVICE',
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const once = values.once === true;
  const asked = {
    format: formatOf(values.output),
    once,
    interval: readSeconds(values.interval, once ? 1 : 2),
    order: readOrder(values.sort),
    limit: readLimit(values.limit),
    service: readService(words[0]),
  };
  const stop = new AbortController();
  const end = () => stop.abort();
  process.once('SIGINT', end).once('SIGTERM', end);
  try {
    const found = await look(values);
    await withConntrack((conntrack) => watch(found, conntrack, asked, stop.signal));
  } finally {
    stop.abort();
    process.off('SIGINT', end).off('SIGTERM', end);
  }
  return 0;
}

interface Asked {
  readonly format: Format;
  readonly once: boolean;
  /** Milliseconds. */
  readonly interval: number;
  readonly order: TopColumn;
  readonly limit: number | undefined;
  /** '' for all. */
  readonly service: string;
}

async function watch(found: Look, conntrack: Conntrack, asked: Asked, stop: AbortSignal): Promise<void> {
  const isAgents = found.from === 'agent';
  const node = isAgents ? found.agent.status.node : found.model.world.nodeName;
  const mode = isAgents ? found.agent.status.mode : found.model.config.mode || 'nftables';
  const naming = new Naming(found, mode, asked.service);
  await naming.refresh();
  if (!naming.knows(asked.service)) throw noSuchService(asked.service);
  const failures = isAgents ? FailureCounts.follow(found.agent, stop) : undefined;
  const count = new TrafficCount((entry) => naming.of(entry));
  const filter = mode === 'nftables' || mode === 'iptables' ? REWRITTEN : undefined;
  const screen = new Screen(asked);
  try {
    for (let looks = 0; !stop.aborted && !(asked.once && looks > 1); looks++) {
      const begun = systemClock.now();
      await conntrack.each(filter, (entry) => count.take(entry));
      const sample = count.end(begun);
      const readMs = systemClock.now() - begun;
      if (looks > 0) {
        const rows = sortRows(withFailures(sample, failures, asked.service), asked.order);
        const isAlone = !isAgents || failures?.isGone === true || naming.isOld;
        const notes = notesOf(sample, mode, asked.service, isAlone);
        screen.show({ node, mode, sample, readMs, rows, notes, isAlone });
      }
      if (asked.once && looks > 0) return;
      // The first table comes soon. A table that takes long to read is read half of the time at most.
      const wait = Math.max(
        Math.min(asked.interval, looks === 0 && !asked.once ? 1000 : Infinity) - readMs,
        readMs,
      );
      await sleep(wait, undefined, { signal: stop }).catch(() => {});
      await naming.refresh();
    }
  } finally {
    screen.leave();
  }
}

/** Which row a connection counts for. */
class Naming {
  readonly #found: Look;
  readonly #mode: string;
  readonly #service: string;
  #places: ServicePlaces = { vips: new Map(), nodePorts: new Map() };
  #pods: ReadonlyMap<string, string> = new Map();
  #made = Number.NEGATIVE_INFINITY;
  #isOld = false;

  constructor(found: Look, mode: string, service: string) {
    this.#found = found;
    this.#mode = mode;
    this.#service = service;
  }

  /** The agent could not be asked for newer names. */
  get isOld(): boolean {
    return this.#isOld;
  }

  /** Rejects the first time only: later, older names are better than none. */
  async refresh(): Promise<void> {
    const isFirst = this.#made === Number.NEGATIVE_INFINITY;
    const now = systemClock.now();
    if (now - this.#made < NAMES_FRESH_MS || (this.#found.from === 'model' && !isFirst)) return;
    this.#made = now;
    try {
      this.#places = await readPlaces(this.#found);
      if (this.#service !== '') this.#pods = await readPods(this.#found, this.#service);
      this.#isOld = false;
    } catch (error) {
      if (isFirst) throw error;
      this.#isOld = true;
    }
  }

  knows(service: string): boolean {
    if (service === '') return true;
    const { vips, nodePorts } = this.#places;
    return [...vips.values(), ...nodePorts.values()].some((name) => isOfService(name, service));
  }

  of(entry: ConntrackEntry): string | undefined {
    const protocol = protocolName(entry.original.protocol);
    if (protocol === undefined) return undefined;
    if (this.#service !== '' && this.#mode === 'userspace') return this.#proxied(entry);
    const service = serviceOf(entry, protocol, this.#places);
    if (service === undefined) return undefined;
    if (this.#service === '') return `${service}/${protocol}`;
    if (!isOfService(service, this.#service)) return undefined;
    return isSentOn(entry) ? this.#endpoint(entry.reply.source, entry.reply.sourcePort) : 'no endpoint';
  }

  /** The proxy makes connections of its own to endpoints. */
  #proxied({ original }: ConntrackEntry): string | undefined {
    const { destination, destinationPort } = original;
    return this.#pods.has(destination) ? this.#endpoint(destination, destinationPort) : undefined;
  }

  #endpoint(address: ConntrackEntry['reply']['source'], port: number): string {
    const pod = this.#pods.get(address) ?? '';
    const place = joinHostPort(address, port);
    return pod === '' ? place : `${pod} ${place}`;
  }
}

/** Those that only fail have no connection in the kernel's table. */
function withFailures(
  { rows }: TrafficSample,
  failures: FailureCounts | undefined,
  service: string,
): TopRow[] {
  if (failures === undefined || service !== '') return rows.map((row) => ({ ...row, failed: null }));
  const known = new Set(rows.map(({ name }) => name));
  const silent = { newPerSecond: 0, open: 0, bytesPerSecond: null, silent: 0 };
  const only = [...failures.names].filter((name) => !known.has(name));
  return [...rows, ...only.map((name) => ({ name, ...silent }))].map((row) => ({
    ...row,
    failed: failures.of(row.name),
  }));
}

function notesOf({ rows, isCut }: TrafficSample, mode: string, service: string, isAlone: boolean): string[] {
  return [
    ...(isAlone ? ['No agent answers: nobody tells of failures or of new Services.'] : []),
    ...(isCut ? [`There are more: the figures are those of the first ${MOST_CONNECTIONS}.`] : []),
    ...(rows.length > 0 && rows.every(({ bytesPerSecond }) => bytesPerSecond === null)
      ? ['Bytes are not counted: sysctl net.netfilter.nf_conntrack_acct is 0.']
      : []),
    ...(service !== '' && mode === 'userspace'
      ? ['Connections to these endpoints, of the proxy and of others alike.']
      : []),
  ];
}

interface Shown {
  readonly node: string;
  readonly mode: string;
  readonly sample: TrafficSample;
  readonly readMs: number;
  readonly rows: readonly TopRow[];
  readonly notes: readonly string[];
  readonly isAlone: boolean;
}

/** A terminal shows one table in place of the other; whatever else reads gets one after the other. */
class Screen {
  readonly #asked: Asked;
  readonly #isTerminal: boolean;
  #isEntered = false;

  constructor(asked: Asked) {
    this.#asked = asked;
    this.#isTerminal =
      process.stdout.isTTY === true && process.env.TERM !== 'dumb' && !asked.once && asked.format === 'text';
  }

  show(shown: Shown): void {
    const { format, once, limit, service } = this.#asked;
    const { node, mode, sample, readMs, rows, notes, isAlone } = shown;
    if (format === 'json') {
      const { connections, isCut, elapsed } = sample;
      const time = new Date().toISOString();
      const items = limit === undefined ? rows : rows.slice(0, limit);
      const value = {
        time,
        node,
        mode,
        agent: !isAlone,
        elapsedMs: elapsed,
        readMs,
        connections,
        isCut,
        items,
      };
      process.stdout.write(`${printableJson(JSON.stringify(value, undefined, once ? 2 : 0))}\n`);
      return;
    }
    const room = this.#isTerminal ? Math.max(1, (process.stdout.rows ?? 24) - OTHER_LINES) : DEFAULT_LIMIT;
    const lines = topText({
      node,
      mode,
      time: new Date().toTimeString().slice(0, 8),
      title: service === '' ? 'SERVICE' : 'ENDPOINT',
      sample,
      readMs,
      rows,
      limit: limit ?? room,
      notes,
    });
    if (!this.#isTerminal) {
      print(once ? lines : [...lines, '']);
      return;
    }
    // The alternate screen without a cursor; each line ends what stood there before.
    if (!this.#isEntered) process.stdout.write('\u001b[?1049h\u001b[?25l');
    this.#isEntered = true;
    process.stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\r\n')}\u001b[J`);
  }

  leave(): void {
    if (this.#isEntered) process.stdout.write('\u001b[?25h\u001b[?1049l');
    this.#isEntered = false;
  }
}

function readSeconds(text: string | undefined, otherwise: number): number {
  const seconds = text === undefined ? otherwise : Number(text);
  if (text !== undefined && !(/^\d{1,4}(\.\d{1,3})?$/.test(text) && seconds >= 0.1))
    throw new WrongCall(`--interval ${JSON.stringify(text)} is no number of seconds, 0.1 or more`);
  return seconds * 1000;
}

function readOrder(text = 'new'): TopColumn {
  const order = TOP_COLUMNS.find((known) => known === text);
  if (order === undefined)
    throw new WrongCall(`--sort ${JSON.stringify(text)}: there are ${TOP_COLUMNS.join(', ')}`);
  return order;
}

function readService(text = ''): string {
  if (text !== '' && !/^[^/]+\/[^/]+$/.test(text))
    throw new WrongCall(`${JSON.stringify(text)} is no NAMESPACE/SERVICE`, 'As in: penstock top shop/cart');
  return text;
}
