/** What the tables of both tiers hold, as values: pure. docs/loadbalancer.md shows them. */
import { murmur3 } from '../../balancing/murmur3.js';
import type { Device } from '../../kernel/nftables/forwarding.js';
import { familyOf, type IpAddress, type IpFamily } from '../../net/ip.js';

/** A port of an announced address. */
export interface TierService {
  readonly address: IpAddress;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly port: number;
  /** `flow`: by address and port of the client; `client`: by its address, for session affinity and for datagrams in fragments. */
  readonly hash: 'flow' | 'client';
  /** Node of each slot. */
  readonly table: readonly (string | undefined)[];
  /** Slots whose connections may live on another node. */
  readonly before: ReadonlyMap<number, string>;
}

/** A node that can be reached on a LAN of this one. */
export interface TierNode {
  readonly addresses: Readonly<Partial<Record<IpFamily, IpAddress>>>;
  readonly device: Device;
}

/** One table of slots, which many service ports may share. */
export interface SlotTable {
  /** `t1a2b3c4d`; equal tables have equal names, on every node. */
  readonly name: string;
  readonly family: IpFamily;
  readonly hash: TierService['hash'];
  /** Interface → slot → address of the node. Slots of this node are absent. */
  readonly byDevice: ReadonlyMap<
    string,
    { readonly device: Device; readonly slots: ReadonlyMap<number, IpAddress> }
  >;
}

export interface TierKey {
  readonly address: IpAddress;
  readonly protocol: TierService['protocol'];
  readonly port: number;
}

export interface TierContents {
  readonly tables: ReadonlyMap<string, SlotTable>;
  readonly services: readonly { readonly key: TierKey; readonly table: string }[];
  /** Fragments have no port: address and protocol decide. */
  readonly fragments: readonly {
    readonly address: IpAddress;
    readonly protocol: TierService['protocol'];
    readonly table: string;
  }[];
  /** Tables of the second chance: slots of this node that another had before, and slots of the others. No slot is in two of a key. */
  readonly secondChances: readonly { readonly key: TierKey; readonly tables: readonly string[] }[];
}

export function tierContents(
  self: string,
  services: readonly TierService[],
  nodes: ReadonlyMap<string, TierNode>,
): TierContents {
  const tables = new Map<string, SlotTable>();
  const whole = new Map<TierService['table'], Map<string, string | undefined>>();
  const contents = {
    tables,
    services: [] as { key: TierKey; table: string }[],
    secondChances: [] as { key: TierKey; tables: readonly string[] }[],
  };
  const fragments = new Map<
    string,
    { address: IpAddress; protocol: TierService['protocol']; table: string }
  >();
  const sorted = [...services].sort((a, b) =>
    a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port,
  );
  for (const service of sorted) {
    const { address, protocol, port, hash } = service;
    const key = { address, protocol, port };
    const table = addWhole(service.table, familyOf(address), hash);
    if (table !== undefined) {
      contents.services.push({ key, table });
      // The first port of the address; which one a fragment is for nobody can tell.
      const ofAddress = `${address} ${protocol}`;
      if (!fragments.has(ofAddress)) fragments.set(ofAddress, { address, protocol, table });
    }
    const previous = new Map(
      [...service.before].filter(([slot, node]) => service.table[slot] === self && node !== self),
    );
    if (protocol !== 'TCP') continue;
    const second = [add(previous, familyOf(address), hash), table].filter((name) => name !== undefined);
    if (second.length > 0) contents.secondChances.push({ key, tables: second });
  }
  return { ...contents, fragments: [...fragments.values()] };

  /** Ports with the same table of nodes, which is the same array (SlotHistory), are added once. */
  function addWhole(
    table: TierService['table'],
    family: IpFamily,
    hash: TierService['hash'],
  ): string | undefined {
    const known = whole.get(table) ?? new Map<string, string | undefined>();
    whole.set(table, known);
    const kind = `${family} ${hash}`;
    if (known.has(kind)) return known.get(kind);
    const slots = new Map<number, string>();
    for (const [slot, node] of table.entries())
      if (node !== undefined && node !== self) slots.set(slot, node);
    const name = add(slots, family, hash);
    known.set(kind, name);
    return name;
  }

  /** Undefined when none of the nodes can be reached: packets go the usual way. */
  function add(
    slots: ReadonlyMap<number, string>,
    family: IpFamily,
    hash: TierService['hash'],
  ): string | undefined {
    const byDevice = new Map<string, { device: Device; slots: Map<number, IpAddress> }>();
    let text = `${family} ${hash}`;
    for (const [slot, name] of slots) {
      const node = nodes.get(name);
      const address = node?.addresses[family];
      if (node === undefined || address === undefined) continue;
      const { device } = node;
      const entry = byDevice.get(device.name) ?? { device, slots: new Map<number, IpAddress>() };
      byDevice.set(device.name, entry);
      entry.slots.set(slot, address);
      text += ` ${slot} ${device.index} ${address}`;
    }
    if (byDevice.size === 0) return undefined;
    const name = `t${hex(murmur3(text, 0))}${hex(murmur3(text, 1))}`;
    if (!tables.has(name)) tables.set(name, { name, family, hash, byDevice });
    return name;
  }
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}

/** The same on all nodes that agree about every table; told in the Lease, so that disagreement is seen. */
export function tableDigest(services: readonly TierService[]): string {
  const nodesOf = new Map(
    [...new Set(services.map(({ table }) => table))].map((table) => [
      table,
      [...new Set(table)].sort().join(','),
    ]),
  );
  const lines = services.map(
    ({ address, protocol, port, hash, table }) =>
      `${address} ${protocol} ${port} ${hash} ${nodesOf.get(table)}`,
  );
  return hex(murmur3(lines.sort().join('\n'), 0));
}
