/** Which cells the service ports and their endpoints have, and what the engine must be told of a change. */

import type { Cells } from '../../kernel/addon/Cells.js';
import { IP_FAMILIES, type IpFamily } from '../../net/ip.js';
import { objectName } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { Endpoint, ServicePort } from '../../routing/ServicePort.js';
import { type EncodingFacts, mayKeepSource, NOTHING_KNOWN, ServiceRecords } from './encodeServices.js';
import { type ProxyDefaults, type ProxyOptions, readProxyOptions } from './proxyOptions.js';

export interface EngineRow {
  readonly port: ServicePort;
  readonly options: ProxyOptions;
  readonly cell: number;
  /** By Endpoint.target: those that may get connections, and those that have done so before and still exist. */
  readonly endpoints: ReadonlyMap<string, number>;
}

/** An endpoint that gets no new connections any more. */
export interface LeavingEndpoint {
  readonly row: EngineRow;
  readonly target: string;
  readonly cell: number;
  readonly how: 'terminating' | 'removed';
}

export interface EngineChanges {
  readonly leaving: readonly LeavingEndpoint[];
  /** Endpoints that may get connections and could not before: of a cell that had others before, nothing holds any more. */
  readonly returned: readonly number[];
}

const SCTP = 'SCTP cannot be proxied: connections are refused in mode userspace; the other modes serve it';

const UNDIVERTED =
  'metadata.annotations[penstock.io/source-address]: this node has no policy routing that brings answers back, ' +
  "so endpoints see the node's address";
/** Of a service port that are named. */
const MOST_LOOPS = 8;

/** What is wrong with an endpoint that is a Service. */
export function loopText(target: string): string {
  return `endpoint ${target} is the address of a Service, not of a server: connections to it are refused, they would go in circles`;
}

export class EngineTable {
  readonly #cells: Cells;
  readonly #defaults: ProxyDefaults;
  readonly #rows = new Map<string, EngineRow>();
  readonly #problems = new Map<string, Problem[]>();
  /** Service ports by cell that the engine was not told of yet; undefined: it is gone. */
  readonly #unsaid = new Map<number, EngineRow | undefined>();
  /** Endpoints that are addresses of Services, by the key of the row. */
  readonly #loops = new Map<string, Map<string, Problem>>();
  /** Cell → what it stands for, for the log. */
  readonly #names = new Map<number, string>();
  readonly #factsOf: (family: IpFamily) => EncodingFacts;
  /** What the engine's records were written with. */
  readonly #facts = new Map<IpFamily, EncodingFacts>();
  readonly #transparent = new Map<IpFamily, Set<string>>();
  readonly #undiverted = new Set<IpFamily>();
  /** Cell of a service port → key of its row. */
  readonly #keys = new Map<number, string>();

  /** `factsOf` must give the same object until something differs. */
  constructor(
    cells: Cells,
    defaults: ProxyDefaults,
    factsOf: (family: IpFamily) => EncodingFacts = () => NOTHING_KNOWN,
  ) {
    this.#cells = cells;
    this.#defaults = defaults;
    this.#factsOf = factsOf;
  }

  /** Whether connections of the family may bear addresses of clients. */
  isTransparent(family: IpFamily): boolean {
    return (this.#transparent.get(family)?.size ?? 0) > 0;
  }

  get rows(): Iterable<EngineRow> {
    return this.#rows.values();
  }

  get problems(): readonly Problem[] {
    const loops = [...this.#loops.values()].flatMap((known) => [...known.values()]);
    return [...[...this.#problems.values()].flat(), ...loops, ...this.#undivertedProblems()];
  }

  /** `shop/cart:http`, `10.0.0.7:8080`; the cell's number when it stands for nothing any more. */
  nameOf(cell: number): string {
    return this.#names.get(cell) ?? `cell ${cell}`;
  }

  /**
   * Takes note of changes. What the engine must be told of them, and of earlier ones that it was not told of, `records`
   * has until `said()`.
   */
  apply(changes: ChangeSet['families']): EngineChanges {
    this.#cells.reuse();
    const leaving: LeavingEndpoint[] = [];
    const returned: number[] = [];
    for (const family of IP_FAMILIES) {
      const facts = this.#factsOf(family);
      if (this.#facts.get(family) !== facts) this.#rewrite(family, facts);
      for (const { key: name, after } of changes[family]) {
        const key = `${family} ${name}`;
        const before = this.#rows.get(key);
        this.#problems.delete(key);
        this.#loops.delete(key);
        if (after && isProxied(after)) {
          const row = this.#row(key, after, before, leaving, returned);
          if (row) this.#unsaid.set(row.cell, row);
        } else {
          if (after) this.#report(key, after, [SCTP]);
          if (before) this.#remove(key, before, leaving);
        }
      }
    }
    return { leaving, returned };
  }

  /** For NativeEngine.update; empty when there is nothing to tell. */
  get records(): Uint8Array {
    const records = new ServiceRecords();
    for (const [cell, row] of this.#unsaid) {
      if (row === undefined) records.remove(cell);
      else this.#write(row, records);
    }
    return records.bytes;
  }

  /** The engine knows all that `records` had. */
  said(): void {
    this.#unsaid.clear();
  }

  /** Whether answers to addresses of clients can be brought to the engine; as long as nobody says so, they can. */
  setDiverted(family: IpFamily, diverted: boolean): void {
    if (diverted !== this.#undiverted.has(family)) return;
    if (diverted) this.#undiverted.delete(family);
    else this.#undiverted.add(family);
    for (const key of this.#transparent.get(family) ?? []) {
      const row = this.#rows.get(key);
      if (row) this.#unsaid.set(row.cell, row);
    }
  }

  /** An endpoint that is the address of a Service. Whether that is news. */
  noteLoop(service: number, endpoint: number): boolean {
    const key = this.#keys.get(service);
    const row = key === undefined ? undefined : this.#rows.get(key);
    if (key === undefined || row === undefined) return false;
    const known = this.#loops.get(key) ?? new Map<string, Problem>();
    const target = this.nameOf(endpoint);
    if (known.has(target) || known.size >= MOST_LOOPS) return false;
    known.set(target, { subject: subjectOf(row.port), message: loopText(target) });
    this.#loops.set(key, known);
    return true;
  }

  #rewrite(family: IpFamily, facts: EncodingFacts): void {
    this.#facts.set(family, facts);
    for (const [key, row] of this.#rows) {
      if (row.port.family !== family) continue;
      this.#unsaid.set(row.cell, row);
      this.#noteTransparent(key, row);
    }
  }

  #write(row: EngineRow, records: ServiceRecords): void {
    const { port } = row;
    if (!isProxied(port)) return;
    const cellOf = ({ target }: Endpoint) => row.endpoints.get(target) as number;
    const facts = this.#facts.get(port.family) ?? NOTHING_KNOWN;
    const options = this.#undiverted.has(port.family)
      ? { ...row.options, sourceAddress: 'node' as const }
      : row.options;
    records.set({ ...row, options, port, cellOf, facts });
  }

  /** Undefined when there are not enough cells left for it; that is reported, and what was before stays. */
  #row(
    key: string,
    port: ServicePort,
    before: EngineRow | undefined,
    leaving: LeavingEndpoint[],
    returned: number[],
  ): EngineRow | undefined {
    const { options, faults } = readProxyOptions(port, this.#defaults);
    this.#report(key, port, faults);
    const cell = before?.cell ?? this.#cells.takeService();
    if (cell === undefined) return this.#full(key, port);
    const taken: number[] = [];
    const endpoints = new Map<string, number>();
    const row: EngineRow = { port, options, cell, endpoints };
    const served = new Set(before?.port.endpoints.reachable.map(({ target }) => target));
    for (const { target } of port.endpoints.reachable) {
      const known = before?.endpoints.get(target);
      const own = known ?? this.#cells.takeEndpoint();
      if (own === undefined) {
        for (const each of taken) this.#cells.retireEndpoint(each, cell);
        if (!before) this.#cells.retireService(cell);
        return this.#full(key, port);
      }
      if (known === undefined) taken.push(own);
      endpoints.set(target, own);
    }
    for (const [target, own] of endpoints) {
      if (!served.has(target)) returned.push(own);
      this.#names.set(own, target);
    }
    const present = new Set(port.endpoints.all.map(({ target }: Endpoint) => target));
    for (const [target, known] of before?.endpoints ?? []) {
      if (endpoints.has(target)) continue;
      if (present.has(target)) {
        // It still exists, and may come back with the connections it has.
        endpoints.set(target, known);
        if (served.has(target)) leaving.push({ row, target, cell: known, how: 'terminating' });
      } else {
        leaving.push({ row, target, cell: known, how: 'removed' });
        this.#cells.retireEndpoint(known, cell);
      }
    }
    this.#rows.set(key, row);
    this.#keys.set(cell, key);
    this.#noteTransparent(key, row);
    this.#names.set(cell, `${port.name}/${port.protocol}`);
    return row;
  }

  #remove(key: string, row: EngineRow, leaving: LeavingEndpoint[]): void {
    this.#unsaid.set(row.cell, undefined);
    this.#keys.delete(row.cell);
    for (const [target, cell] of row.endpoints) {
      leaving.push({ row, target, cell, how: 'removed' });
      this.#cells.retireEndpoint(cell, row.cell);
    }
    this.#cells.retireService(row.cell);
    this.#rows.delete(key);
    this.#transparent.get(row.port.family)?.delete(key);
  }

  #noteTransparent(key: string, { port, options }: EngineRow): void {
    const { family } = port;
    const keys = this.#transparent.get(family) ?? new Set();
    this.#transparent.set(family, keys);
    if (mayKeepSource(options, port, this.#facts.get(family) ?? NOTHING_KNOWN)) keys.add(key);
    else keys.delete(key);
  }

  /** Those who asked for it are told; where it is the default, the log is. */
  #undivertedProblems(): readonly Problem[] {
    return [...this.#undiverted].flatMap((family) =>
      [...(this.#transparent.get(family) ?? [])].flatMap((key) => {
        const port = this.#rows.get(key)?.port;
        return port?.options['source-address'] !== 'transparent'
          ? []
          : [{ subject: subjectOf(port), message: UNDIVERTED }];
      }),
    );
  }

  #full(key: string, port: ServicePort): undefined {
    this.#report(key, port, [
      'there are more service ports or endpoints than mode userspace has room for: it is served as before, if it was',
    ]);
    return undefined;
  }

  #report(key: string, port: ServicePort, faults: readonly string[]): void {
    if (faults.length === 0) return;
    const subject = subjectOf(port);
    this.#problems.set(
      key,
      faults.map((message) => ({ subject, message })),
    );
  }
}

function subjectOf(port: ServicePort): string {
  return objectName({ kind: 'Service', namespace: port.namespace, name: port.service });
}

type ProxiedPort = ServicePort & { readonly protocol: 'TCP' | 'UDP' };

function isProxied(port: ServicePort): port is ProxiedPort {
  return port.protocol !== 'SCTP';
}
