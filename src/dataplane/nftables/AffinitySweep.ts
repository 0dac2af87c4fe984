/**
 * Entries of session affinity that point at an endpoint which may not serve any more. Rules add entries, so only a look
 * into the kernel tells which there are; that is done when a service port with affinity lost something.
 */
import { PenstockError } from '../../errors.js';
import { NetlinkError } from '../../kernel/netlink/NetlinkError.js';
import { ipKey, portKey } from '../../kernel/nftables/dataTypes.js';
import type { SetSpec } from '../../kernel/nftables/SetSpec.js';
import { Transaction } from '../../kernel/nftables/Transaction.js';
import type { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import type { IpFamily } from '../../net/ip.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { tableSets } from './desired/sets.js';
import { Collected } from './plan/Collected.js';

const ADDRESS_BYTES: Readonly<Record<IpFamily, number>> = { IPv4: 4, IPv6: 16 };
const ONE = { internal: 1, external: 1, shortCircuit: 1 };
const NOBODY: ReadonlySet<string> = new Set();

/** VIP or node port, as keys of the affinity maps end → the endpoints that may serve it. */
type Allowed = Map<string, ReadonlySet<string>>;

export class AffinitySweep {
  readonly #family: IpFamily;
  readonly #allowed: Allowed;
  readonly #others: 'stay' | 'go';

  /** Undefined when no service port with affinity lost an endpoint, a VIP or its affinity. */
  static of(family: IpFamily, changes: readonly ServicePortChange[]): AffinitySweep | undefined {
    const allowed: Allowed = new Map();
    for (const { before, after } of changes) {
      if (before?.affinitySeconds === undefined) continue;
      const now = endpointKeys(after);
      const kept = new Set(after ? stickyKeys(after) : []);
      const lost = [...endpointKeys(before)].some((key) => !now.has(key));
      for (const key of stickyKeys(before)) {
        if (!kept.has(key)) allowed.set(key, NOBODY);
        else if (lost) allowed.set(key, now);
      }
    }
    return allowed.size === 0 ? undefined : new AffinitySweep(family, allowed, 'stay');
  }

  /** After a restart: whatever no service port of now accounts for. */
  static ofAll(family: IpFamily, ports: Iterable<ServicePort>): AffinitySweep {
    const allowed: Allowed = new Map();
    for (const port of ports) {
      if (port.affinitySeconds === undefined) continue;
      const endpoints = endpointKeys(port);
      for (const key of stickyKeys(port)) allowed.set(key, endpoints);
    }
    return new AffinitySweep(family, allowed, 'go');
  }

  constructor(family: IpFamily, allowed: Allowed, others: 'stay' | 'go') {
    this.#family = family;
    this.#allowed = allowed;
    this.#others = others;
  }

  /**
   * Commits with the stale entries deleted in the same transaction. One that expires meanwhile makes the kernel refuse
   * the whole (ENOENT), so it is tried again with a fresh look. A connection that was on its way through the old rules
   * may leave another entry behind; it goes afterwards.
   */
  async commitWith(table: NftablesTable, transaction: Transaction, attempts: number): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const stale = attempt <= attempts ? await this.#stale(table, transaction) : [];
      for (const { set, keys } of stale) transaction.deletedElements.set(set, keys);
      try {
        await table.commit(transaction);
        break;
      } catch (error) {
        if (stale.length === 0 || !isAbsent(error)) throw error;
        for (const { set } of stale) transaction.deletedElements.delete(set);
      }
    }
    await this.sweepAgain(table);
  }

  /** Deletes stale entries where nothing else is written. */
  async sweepAgain(table: NftablesTable): Promise<void> {
    const rest = new Transaction(this.#family, table.name);
    for (const { set, keys } of await this.#stale(table, rest)) rest.deletedElements.set(set, keys);
    if (rest.isEmpty) return;
    try {
      await table.commit(rest);
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
  }

  async #stale(table: NftablesTable, transaction: Transaction): Promise<{ set: SetSpec; keys: string[] }[]> {
    const sets = tableSets(this.#family, {
      sizes: { 'service-ips': 0, 'node-ports': 0, endpoints: 0, 'node-port-endpoints': 0 },
      counters: false,
    });
    const found: { set: SetSpec; keys: string[] }[] = [];
    for (const set of [sets.affinity, sets['node-port-affinity']]) {
      // One that is only now made, or made anew, has no entries.
      if (transaction.newSets.some(({ name }) => name === set.name)) continue;
      const keys: string[] = [];
      await table.readElements(set, ({ key, value }) => {
        if (this.#isStale(key, value)) keys.push(key);
      });
      if (keys.length > 0) found.push({ set, keys });
    }
    return found;
  }

  /** The key begins with the client's address. */
  #isStale(key: string, value: string): boolean {
    const allowed = this.#allowed.get(key.slice(ADDRESS_BYTES[this.#family]));
    return allowed ? !allowed.has(value) : this.#others === 'go';
  }
}

function stickyKeys(port: ServicePort): string[] {
  const collected = new Collected();
  collected.add(port, ONE);
  return [...collected.stickyKeys.values()].flatMap(({ keys }) => keys);
}

function endpointKeys(port: ServicePort | undefined): ReadonlySet<string> {
  return new Set(
    (port?.endpoints.reachable ?? []).map(({ address, port: number }) => ipKey(address) + portKey(number)),
  );
}

function isAbsent(error: unknown): boolean {
  const cause = error instanceof PenstockError && error.cause instanceof Error ? error.cause.cause : error;
  return cause instanceof NetlinkError && cause.code === 'ENOENT';
}
