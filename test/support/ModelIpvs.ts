/** IPVS, ipset, kube-ipvs0 and iptables of one family in memory. As strict as the kernel: what it would refuse is refused. */
import { constants } from 'node:os';
import type { SetEntry } from '../../src/dataplane/ipvs/desired/SetEntry.js';
import { SET_NAMES, type SetName } from '../../src/dataplane/ipvs/desired/sets.js';
import type { Direction, FamilyKernel, Refusal } from '../../src/dataplane/ipvs/kernel/FamilyKernel.js';
import { ownServers } from '../../src/dataplane/ipvs/kernel/ownership.js';
import type { Present, PresentServer } from '../../src/dataplane/ipvs/plan/Present.js';
import { readSavedRules, type SavedRules } from '../../src/dataplane/ipvs/rules/planRules.js';
import type { IpvsChange } from '../../src/kernel/ipvs/IpvsChange.js';
import type { RealServerState } from '../../src/kernel/ipvs/RealServer.js';
import {
  type VirtualServer,
  type VirtualServerId,
  virtualServerKey,
} from '../../src/kernel/ipvs/VirtualServer.js';
import { NetlinkError } from '../../src/kernel/netlink/NetlinkError.js';
import type { RestoreInput } from '../../src/kernel/xtables/RestoreInput.js';
import { type IpAddress, type IpFamily, joinHostPort } from '../../src/net/ip.js';
import { FakeXtables } from './FakeXtables.js';

interface ModelServer {
  server: VirtualServer;
  readonly realServers: Map<string, RealServerState>;
}

const COUNTERS = { connections: 0, packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 };

export class ModelIpvs implements FamilyKernel {
  readonly family: IpFamily;
  readonly servers = new Map<string, ModelServer>();
  readonly sets = new Map<SetName, Map<string, number | undefined>>();
  readonly addresses = new Set<IpAddress>();
  readonly xtables: FakeXtables;
  readonly #tool: ReturnType<FakeXtables['open']>;
  /** Connections that a new real server has at once: [active, inactive]. */
  connections: readonly [number, number] = [0, 0];
  /** Why a change is refused, by name of the error number. */
  refuses: (change: IpvsChange) => 'EINVAL' | 'ENOENT' | undefined = () => undefined;
  /** The kernel stops answering after this many calls; undefined: it answers. */
  failsAfter: number | undefined;
  /** Changes that a sync must not ask for. */
  readonly mistakes: string[] = [];
  /** Messages since somebody looked. */
  messages: string[] = [];
  reads = 0;

  constructor(family: IpFamily, xtables = new FakeXtables({ family, backend: 'legacy' })) {
    this.family = family;
    this.xtables = xtables;
    this.#tool = this.xtables.open();
  }

  async prepare(): Promise<void> {
    this.#answer();
    for (const name of SET_NAMES) if (!this.sets.has(name)) this.sets.set(name, new Map());
  }

  async read(knownOurs: (key: string) => boolean): Promise<Present> {
    this.#answer();
    this.reads++;
    const servers = new Map<string, PresentServer>();
    for (const [key, { server, realServers }] of this.servers) {
      servers.set(key, { server, realServers: new Map(realServers) });
    }
    const sets = new Map([...this.sets].map(([name, elements]) => [name, new Map(elements)]));
    const ids = [...this.servers.values()].map(({ server }) => server);
    const ours = ownServers(ids, sets, { excludeCIDRs: [] }, knownOurs);
    return { servers, ours, sets, addresses: new Set(this.addresses) };
  }

  async changeServers(changes: readonly IpvsChange[]): Promise<readonly Refusal<IpvsChange>[]> {
    this.#answer();
    return changes.flatMap((change) => {
      this.messages.push(`${change.action} ${virtualServerKey(change.service)}`);
      const code = this.refuses(change) ?? this.#change(change);
      return code === undefined ? [] : [{ change, error: refusal(code) }];
    });
  }

  async changeEntries(
    direction: Direction,
    entries: readonly SetEntry[],
  ): Promise<readonly Refusal<SetEntry>[]> {
    if (entries.length === 0) return [];
    this.#answer();
    return entries.flatMap((entry) => {
      this.messages.push(`${direction} ${entry.set} ${entry.element}`);
      const elements = this.sets.get(entry.set);
      if (!elements) return [{ change: entry, error: refusal('ENOENT') }];
      if (direction === 'add') elements.set(entry.element, entry.mark);
      else elements.delete(entry.element);
      return [];
    });
  }

  async changeAddresses(
    direction: Direction,
    addresses: readonly IpAddress[],
  ): Promise<readonly Refusal<IpAddress>[]> {
    if (addresses.length === 0) return [];
    this.#answer();
    for (const address of addresses) {
      this.messages.push(`${direction} ${address}`);
      if (direction === 'add') {
        if (this.addresses.has(address)) this.mistakes.push(`${address} is added twice`);
        this.addresses.add(address);
      } else if (!this.addresses.delete(address)) this.mistakes.push(`${address} is not there to be deleted`);
    }
    return [];
  }

  async realServers(server: VirtualServerId): Promise<readonly RealServerState[]> {
    return [...(this.servers.get(virtualServerKey(server))?.realServers.values() ?? [])];
  }

  async readRules(): Promise<SavedRules> {
    return readSavedRules(await (await this.#tool).saveAll());
  }

  async writeRules(input: RestoreInput): Promise<void> {
    await (await this.#tool).restore(input);
  }

  /** Everything but the rules, as sorted text. `drained`: with real servers of weight 0 that nobody asked for. */
  dump(): string[] {
    const lines: string[] = [...this.addresses].map((ip) => `address ${ip}`);
    for (const [name, elements] of this.sets) {
      for (const [element, mark] of elements) lines.push(`${name} ${element} ${mark ?? ''}`);
    }
    for (const [key, { server, realServers }] of this.servers) {
      lines.push(`${key} ${JSON.stringify(server)}`);
      for (const [target, { weight }] of realServers) lines.push(`${key} ${target} weight ${weight}`);
    }
    return lines.sort();
  }

  #answer(): void {
    if (this.failsAfter === undefined) return;
    if (this.failsAfter-- <= 0) throw refusal('ETIMEDOUT');
  }

  /** As ip_vs_ctl.c does. */
  #change(change: IpvsChange): 'EEXIST' | 'ESRCH' | 'ENOENT' | undefined {
    const key = virtualServerKey(change.service);
    const known = this.servers.get(key);
    if (change.action === 'add service') {
      if (known) return 'EEXIST';
      this.servers.set(key, { server: change.service, realServers: new Map() });
      return undefined;
    }
    if (!known) return 'ESRCH';
    if (change.action === 'set service') known.server = change.service;
    else if (change.action === 'delete service') this.servers.delete(key);
    else return this.#changeDestination(change, known.realServers);
    return undefined;
  }

  #changeDestination(
    change: Extract<IpvsChange, { destination: unknown }>,
    realServers: Map<string, RealServerState>,
  ): 'EEXIST' | 'ENOENT' | undefined {
    const target = joinHostPort(change.destination.address, change.destination.port);
    const known = realServers.get(target);
    if (change.action === 'delete destination') return realServers.delete(target) ? undefined : 'ENOENT';
    if (change.action === 'add destination' && known) return 'EEXIST';
    if (change.action === 'set destination' && !known) return 'ENOENT';
    const [activeConnections, inactiveConnections] = known
      ? [known.activeConnections, known.inactiveConnections]
      : this.connections;
    realServers.set(target, {
      ...change.destination,
      activeConnections,
      inactiveConnections,
      persistentConnections: 0,
      counters: COUNTERS,
    });
    return undefined;
  }
}

function refusal(code: keyof typeof constants.errno): NetlinkError {
  return new NetlinkError('model', { errno: -constants.errno[code] });
}
