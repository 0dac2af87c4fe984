/**
 * Mode ipvs: virtual and real servers of the kernel's IPVS, their VIPs on kube-ipvs0, sets, and a few constant rules.
 * One FamilySync for each IP family of the host. docs/ipvs.md shows what is in the kernel, and why.
 */

import type { IpAddress, IpFamily } from '../../net/ip.js';
import type { Protocol } from '../../objects/Service.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import { NodePortIndex } from '../../routing/NodePortIndex.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { type Clock, systemClock } from '../../time/Clock.js';
import type { Dataplane, DataplaneListener, RuleFacts, SyncReport } from '../Dataplane.js';
import { syncFamilies } from '../family/syncFamilies.js';
import { type HostFacts, type IpvsOptions, ipvsSettings } from './desired/IpvsSettings.js';
import { FamilySync } from './FamilySync.js';
import type { FamilyKernel } from './kernel/FamilyKernel.js';

/** What of the host this mode needs, injected. */
export interface IpvsHost {
  readonly description: string;
  readonly kernels: readonly FamilyKernel[];
  /** Addresses of all links but kube-ipvs0. */
  readonly addresses: () => readonly IpAddress[];
  readonly randomFully: boolean;
  /** Ports of ours on loopback that pass on connections to node ports on loopback. */
  readonly localhostPorts: (family: IpFamily) => HostFacts['localhostPorts'];
  /** A text that is another after somebody changed iptables rules; undefined when it cannot be read. */
  readonly rulesState: () => Promise<string | undefined>;
  /** Releases what the above hold. */
  readonly close: () => Promise<void>;
  readonly clock?: Clock;
}

/** Milliseconds between looks at real servers that wait for the end of their connections. */
const DRAIN_PERIOD_MS = 1000;
/** A verification is repeated after this many times what it took: it costs 1 % of a CPU at most. */
const REST_FACTOR = 100;

export class IpvsDataplane implements Dataplane {
  readonly #options: IpvsOptions;
  readonly #host: IpvsHost;
  readonly #listener: DataplaneListener;
  readonly #clock: Clock;
  readonly #families: readonly FamilySync[];
  readonly #nodePorts = new NodePortIndex();
  /** One thing at a time: a sync, a look at draining servers, a verification. Never rejects. */
  #busy: Promise<unknown> = Promise.resolve();
  /** Undefined while none waits. */
  #cancelDrain: (() => void) | undefined;
  #closed = false;
  /** rulesState() before the rules were last looked at and seen in place; what is written moves it, and is looked at too. */
  #seenRules: string | undefined;
  /** Milliseconds on the clock: not before then is everything looked at again. */
  #nextVerification = 0;

  constructor(options: IpvsOptions, host: IpvsHost, listener: DataplaneListener) {
    this.#options = options;
    this.#host = host;
    this.#listener = listener;
    this.#clock = host.clock ?? systemClock;
    this.#families = host.kernels.map((kernel) => new FamilySync(kernel, () => this.#clock.now()));
  }

  get families(): readonly IpFamily[] {
    return this.#families.map(({ family }) => family);
  }

  get description(): string {
    return this.#host.description;
  }

  sync(table: RoutingView, changes: ChangeSet): Promise<SyncReport> {
    // First of all, so that no failure below can lose them.
    for (const sync of this.#families) {
      sync.take(changes.families[sync.family]);
      this.#nodePorts.apply(sync.family, changes.families[sync.family]);
    }
    return this.#alone(() => this.#sync(table));
  }

  requireFull(): void {
    for (const sync of this.#families) sync.requireFull();
  }

  async verify(): Promise<string | undefined> {
    return this.#alone(() => this.#verify());
  }

  ruleFacts(): RuleFacts {
    const of = (family: IpFamily) => ({ localhostPorts: this.#host.localhostPorts(family), divertMark: 0 });
    return { logGroup: 0, families: Object.fromEntries(this.families.map((family) => [family, of(family)])) };
  }

  /** Who a node port belongs to, for those who pass on connections themselves. */
  ownerOf(family: IpFamily, protocol: Protocol, nodePort: number): ServicePort | undefined {
    return this.#nodePorts.get(family, protocol, nodePort);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelDrain?.();
    await this.#busy;
    await this.#host.close();
  }

  async #sync(table: RoutingView): Promise<SyncReport> {
    const { randomFully } = this.#host;
    const families = await syncFamilies(this.#families, this.#listener, async (sync) => {
      const { family } = sync;
      const addresses = this.#host.addresses();
      const facts = { addresses, randomFully, localhostPorts: this.#host.localhostPorts(family) };
      const settings = ipvsSettings(this.#options, family, table, facts);
      return sync.sync(table.servicePorts(family), settings);
    }).finally(() => this.#scheduleDrain());
    return { families, problems: this.#problems() };
  }

  /** Both families say the same of a Service that has both. */
  #problems(): SyncReport['problems'] {
    const all = this.#families.flatMap((sync) => sync.problems);
    return [...new Map(all.map((problem) => [`${problem.subject} ${problem.message}`, problem])).values()];
  }

  async #verify(): Promise<string | undefined> {
    const state = await this.#host.rulesState();
    const started = this.#clock.now();
    const isDue = started >= this.#nextVerification;
    if (state === undefined ? isDue : state !== this.#seenRules) {
      const wrong = await this.#firstWrong((sync) => sync.verifyRules());
      if (wrong !== undefined) return wrong;
      // Of a family that awaits a sync nothing was looked at.
      if (this.#families.every((sync) => sync.isKnown)) this.#seenRules = state;
    }
    if (!isDue) return undefined;
    // The kernel does not tell of changes to IPVS, so all of it is read: the less there is the more often.
    const wrong = await this.#firstWrong((sync) => sync.verify());
    const rest = Math.min((this.#clock.now() - started) * REST_FACTOR, this.#options.syncPeriodMs);
    this.#nextVerification = this.#clock.now() + rest;
    return wrong;
  }

  async #firstWrong(verify: (sync: FamilySync) => Promise<string | undefined>): Promise<string | undefined> {
    for (const sync of this.#families) {
      const wrong = await verify(sync);
      if (wrong !== undefined) return `${sync.family}: ${wrong}`;
    }
    return undefined;
  }

  #scheduleDrain(): void {
    if (this.#cancelDrain !== undefined || this.#closed) return;
    if (!this.#families.some((sync) => sync.isDraining)) return;
    this.#cancelDrain = this.#clock.after(DRAIN_PERIOD_MS, () => {
      this.#cancelDrain = undefined;
      void this.#alone(() => this.#drain());
    });
  }

  async #drain(): Promise<void> {
    for (const sync of this.#families) {
      try {
        await sync.drain();
      } catch {
        // It is looked at again in a second; a kernel that does not answer makes syncs fail too, and those are told.
      }
    }
    this.#scheduleDrain();
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#busy.then(work);
    this.#busy = mine.catch(() => {});
    return mine;
  }
}
