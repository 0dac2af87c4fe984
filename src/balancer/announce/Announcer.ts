/**
 * Announces the addresses of LoadBalancer Services from this node: objects, Services, interfaces and the other nodes → a plan → layer 2,
 * sessions with routers, the tables of both tiers. It closes what it has opened.
 */
import type { Logger } from 'pino';
import type { NativeBfd } from '../../kernel/addon/NativeBfd.js';
import type { NativeResponder } from '../../kernel/addon/NativeResponder.js';
import { SERVICE_LINK } from '../../kernel/routes/constants.js';
import type { NetworkInterface } from '../../kernel/routes/InterfaceWatch.js';
import type { IpAddress } from '../../net/ip.js';
import type { ObjectChange } from '../../objects/ApiObject.js';
import type { Node } from '../../objects/Node.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { Clock } from '../../time/Clock.js';
import type { AddressPool } from '../addresses/AddressPool.js';
import { RecentPools } from '../addresses/RecentPools.js';
import type { OpenConnection } from '../bgp/BgpConnection.js';
import type { TcpOptions } from '../bgp/openTcp.js';
import { Layer2 } from '../layer2/Layer2.js';
import type { QuietKernel } from '../layer2/QuietKernel.js';
import type { OwnFacts } from '../membership/LeaseMembership.js';
import { type MembershipView, plainMember } from '../membership/Member.js';
import type { TierTables } from '../tiers/TierTables.js';
import type { AnnouncementObjects } from './AnnouncementObjects.js';
import { BgpPeers } from './BgpPeers.js';
import { LoadBalancerServices, type ServiceLookup } from './LoadBalancerServices.js';
import type { MembershipHandle, OpenMembership } from './Membership.js';
import {
  type LanInterface,
  lanInterfaces,
  nodeAddresses,
  type OwnNode,
  ownFacts,
  ownNode,
  ownRoles,
} from './OwnNode.js';
import { type AnnouncePlan, planAnnouncing } from './planAnnouncing.js';
import { type AnnouncerReport, reportOf } from './report.js';
import type { AskMachine } from './SilentNodes.js';
import { TierWriter } from './TierWriter.js';

export interface AnnouncerListener {
  /** This node announces it from now on, or no longer. `peer`: who does instead, as far as was heard. */
  announcing(
    address: IpAddress,
    device: string,
    announces: boolean,
    peer: string | undefined,
    services: readonly string[],
  ): void;
  /** A stranger has it. */
  conflict(address: IpAddress, device: string, mac: string, services: readonly string[]): void;
  /** It is not for this Service. Once, until that changes. */
  refused(address: IpAddress, service: string, why: string): void;
}

export interface AnnouncerOptions {
  readonly node: string;
  /** Names of interfaces; none: found by OwnNode. */
  readonly interfaces: readonly string[];
  readonly ignoreExcludeLabel: boolean;
  readonly table: ServiceLookup & { readonly nodeObject: Node | undefined };
  readonly objects: AnnouncementObjects;
  readonly openMembership: OpenMembership;
  readonly openResponder: (onEvents: () => void) => NativeResponder;
  /** Whether what is led to this node passes through this process (mode userspace), and ends with it. */
  readonly endsWithAgent: boolean;
  /** Whether this process may follow one that serves this node, and goes on doing so until the first sync. */
  readonly mayFollow: boolean;
  readonly openBfd: (onChanges: () => void) => NativeBfd;
  readonly openTcp: (options: TcpOptions) => OpenConnection;
  readonly password: ((namespace: string, name: string) => Promise<string>) | undefined;
  /** Undefined: one tier. */
  readonly tierTables: TierTables | undefined;
  readonly quietKernel: Pick<QuietKernel, 'keep'>;
  readonly askMachine: AskMachine;
  readonly interfaceWatch: {
    interfaces(): readonly NetworkInterface[];
    onChange: (() => void) | undefined;
    close(): void;
  };
  readonly listener: AnnouncerListener;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** Milliseconds in which changes are gathered. */
const GATHER_MS = 20;
const MAC_BYTES = 6;
/** Milliseconds that an agent which ends waits for its successors. */
const LEAVE_MS = 5500;
/** Milliseconds until it is looked again whether the kernel is still quiet. */
const QUIET_MS = 15_000;

export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #services: LoadBalancerServices;
  readonly #layer2: Layer2;
  readonly #peers: BgpPeers;
  readonly #tiers: TierWriter | undefined;
  readonly #membership: MembershipHandle;
  #view: MembershipView = { members: new Map(), connected: false };
  #lans: readonly LanInterface[] = [];
  #own: OwnNode;
  #facts: OwnFacts;
  readonly #recentPools = new RecentPools();
  #cancelForget: (() => void) | undefined;
  #cancelQuiet: (() => void) | undefined;
  #plan: AnnouncePlan = { wishes: [], routes: new Map(), addresses: [] };
  /** What was refused: `address service why`. */
  #refused: ReadonlySet<string> = new Set();
  /** Everything has been read once. */
  #complete = false;
  #cancel: (() => void) | undefined;
  #said = '';
  #problems: ReadonlySet<string> = new Set();
  #closed = false;
  #isServing = false;

  /** Throws what cannot be opened; nothing is open then. */
  constructor(options: AnnouncerOptions) {
    this.#options = options;
    const { node, table, clock, random, log, interfaceWatch } = options;
    this.#services = new LoadBalancerServices(table);
    this.#own = ownNode(node, table.nodeObject, options.ignoreExcludeLabel);
    this.#facts = ownFacts([], new Map());
    this.#layer2 = new Layer2({
      node,
      openResponder: options.openResponder,
      endsWithAgent: options.endsWithAgent,
      clock,
      random,
      listener: {
        announcing: (address, index, announces, peer) =>
          options.listener.announcing(
            address,
            this.#deviceOf(index),
            announces,
            peer,
            this.#servicesOf(address),
          ),
        conflict: (address, index, mac) =>
          options.listener.conflict(address, this.#deviceOf(index), mac, this.#servicesOf(address)),
        paused: (milliseconds) =>
          log.warn(
            `this process did not run for ${Math.round(milliseconds)} ms; addresses are asked for before they are answered for again`,
          ),
        peerChanged: (name, state) => {
          if (state === 'alive') this.#membership.heard(name);
          if (state === 'dead') log.warn(`node ${name} is not heard any more`);
          this.changed();
        },
        interfaceFailed: (index, errno) =>
          log.warn(`nothing can be announced on ${this.#deviceOf(index)}: errno ${errno}`),
      },
    });
    this.#peers = new BgpPeers({
      node,
      open: options.openTcp,
      openBfd: options.openBfd,
      password: options.password,
      clock,
      random,
      onSession: (peer, up, why) =>
        up
          ? log.info(`BGPPeer ${peer}: the session is up`)
          : log.warn(`BGPPeer ${peer}: the session is down: ${why ?? 'it ended'}`),
      onTrouble: (peer, why) => this.#sayOnce(`BGPPeer ${peer}: ${why}`),
    });
    this.#tiers =
      options.tierTables &&
      new TierWriter(node, options.tierTables, options.askMachine, clock, log, () => this.changed());
    this.#isServing = options.mayFollow;
    this.#layer2.setServing(this.#isServing);
    try {
      this.#look();
      interfaceWatch.onChange = () => this.changed();
      this.#membership = options.openMembership({
        facts: () => this.#facts,
        heard: () => this.#layer2.heard(),
        onView: (view) => {
          this.#view = view;
          this.#layer2.setMembership(view);
          this.changed();
        },
        onFresh: (until) => this.#layer2.setFreshUntil(until),
        now: () => this.#layer2.now(),
      });
    } catch (error) {
      this.#layer2.close();
      throw error;
    }
  }

  /** Of a batch that the table has taken. */
  objectsChanged(batch: readonly ObjectChange[]): void {
    if (this.#services.take(batch)) this.changed();
  }

  /** The routing table. */
  committed(changes: Pick<ChangeSet, 'families'>): void {
    if (this.#services.committed(changes)) this.changed();
  }

  /** Services, nodes and the announcing objects have all been read once. */
  complete(): void {
    this.#complete = true;
    this.changed();
  }

  /** The first sync has succeeded: what is led to this node finds its way. Until then it announces nothing, and others pass it over. */
  serving(): void {
    if (this.#closed) return;
    this.#isServing = true;
    this.#layer2.setServing(true);
    this.changed();
  }

  /** Something that the plan depends on. */
  changed(): void {
    if (this.#closed || this.#cancel !== undefined) return;
    this.#cancel = this.#options.clock.after(GATHER_MS, () => {
      this.#cancel = undefined;
      this.#update();
    });
  }

  /** The share (0..1) of each node of the connections from outside to an announced port; undefined: no two tiers for it. */
  ledOn(address: string, protocol: string, port: number): ReadonlyMap<string, number> | undefined {
    return this.#tiers?.ledOn(address, protocol, port);
  }

  report(): AnnouncerReport {
    return reportOf({
      own: this.#own,
      lans: this.#lans,
      view: this.#view,
      liveness: this.#layer2.liveness,
      plan: this.#plan,
      pools: this.#options.objects.pools,
      announced: this.#layer2.announced(),
      elections: this.#layer2.elections(),
      counters: this.#layer2.status(),
      peers: this.#peers.report(),
      tiers: this.#tiers?.state,
      problems: this.#options.objects.problems(),
    });
  }

  /**
   * Hands over in order: who ranks next announces before this node falls silent. Rules and tables stay. `isSucceeded`: another process
   * on this node carries on, so there is nothing to hand over.
   */
  async close(isSucceeded = false): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancel?.();
    this.#cancelForget?.();
    this.#cancelQuiet?.();
    this.#options.interfaceWatch.onChange = undefined;
    await Promise.all([
      isSucceeded ? undefined : this.#membership.leave().then(() => this.#layer2.leave(LEAVE_MS)),
      this.#peers.close(),
      this.#tiers?.close(),
    ]);
    await this.#membership.stop();
    this.#layer2.close();
    this.#options.interfaceWatch.close();
  }

  #look(): void {
    const { node, interfaces, ignoreExcludeLabel, table, objects, interfaceWatch } = this.#options;
    const before = linksText(this.#lans);
    this.#lans = lanInterfaces(interfaceWatch.interfaces(), interfaces);
    this.#own = ownNode(node, table.nodeObject, ignoreExcludeLabel);
    this.#facts = ownFacts(this.#lans, ownRoles(this.#own, this.#lans, objects.ofKind('L2Advertisement')));
    if (linksText(this.#lans) !== before)
      this.#layer2.setInterfaces(this.#lans.map(({ index, linkLocal }) => ({ index, linkLocal })));
  }

  #update(): void {
    this.#sayProblems();
    const before = factsText(this.#facts);
    this.#look();
    if (factsText(this.#facts) !== before) this.#membership.factsChanged();
    this.#keepQuiet();
    if (!this.#complete || !this.#membership.settled) return;
    const { objects, node, table, interfaceWatch } = this.#options;
    const owners = nodeAddresses(this.#own, interfaceWatch.interfaces(), table.nodeObject, this.#view);
    const services = this.#services.list((address) => owners.get(address));
    const plan = planAnnouncing({
      services,
      objects,
      gonePools: this.#gonePools(),
      own: this.#own,
      lans: this.#lans,
      twoTiers: this.#tiers?.works ?? false,
    });
    this.#plan = plan;
    this.#sayRefused(plan);
    // Packets must find their way before anybody is told to send them here.
    const { liveness } = this.#layer2;
    this.#tiers?.set({
      node,
      services,
      view: this.#view,
      liveness,
      endingWithAgent: this.#layer2.endingWithAgent(),
      heardMacs: this.#heardMacs(),
      lans: this.#lans,
    });
    this.#layer2.setWishes(plan.wishes);
    // What routers remember of the agent before must not be withdrawn by a speaker that knows no better yet.
    if (this.#isServing)
      this.#peers.set(plan.routes, objects.ofKind('BFDProfile'), this.#facts.addresses ?? []);
  }

  /** Also where this node itself may announce nothing, and before it knows of any other. */
  #keepQuiet(): void {
    const { clock, objects, interfaceWatch, quietKernel } = this.#options;
    this.#cancelQuiet?.();
    this.#cancelQuiet = undefined;
    if (objects.ofKind('L2Advertisement').length === 0) return;
    if (!interfaceWatch.interfaces().some(({ name }) => name === SERVICE_LINK)) return;
    quietKernel.keep(this.#lans.map(({ name }) => name));
    this.#cancelQuiet = clock.after(QUIET_MS, () => this.#keepQuiet());
  }

  #gonePools(): readonly AddressPool[] {
    const { clock, objects } = this.#options;
    const gone = this.#recentPools.gone(objects.pools, clock.now());
    const { until } = this.#recentPools;
    this.#cancelForget?.();
    this.#cancelForget =
      until === undefined ? undefined : clock.after(until - clock.now(), () => this.changed());
    return gone;
  }

  #heardMacs(): readonly Uint8Array[] {
    return this.#layer2.status().peers.flatMap(({ macs }) => {
      const each: Uint8Array[] = [];
      for (let i = 0; i + MAC_BYTES <= macs.length; i += MAC_BYTES) each.push(macs.slice(i, i + MAC_BYTES));
      return each;
    });
  }

  #deviceOf(index: number): string {
    return this.#lans.find((lan) => lan.index === index)?.name ?? `interface ${index}`;
  }

  #servicesOf(address: IpAddress): readonly string[] {
    const planned = this.#plan.addresses.find((each) => each.address === address);
    if (planned === undefined) return [];
    const refused = new Set(planned.refusals.map(({ service }) => service));
    return planned.services.filter((path) => !refused.has(path));
  }

  #sayRefused({ addresses }: AnnouncePlan): void {
    const refused = new Set<string>();
    for (const { address, refusals } of addresses) {
      for (const { service, why } of refusals) {
        const key = `${address} ${service} ${why}`;
        refused.add(key);
        if (!this.#refused.has(key)) this.#options.listener.refused(address, service, why);
      }
    }
    this.#refused = refused;
  }

  /** Those that were not there a moment ago. */
  #sayProblems(): void {
    const problems = this.#options.objects.problems().map(({ subject, message }) => `${subject}: ${message}`);
    for (const text of problems) if (!this.#problems.has(text)) this.#options.log.warn(text);
    this.#problems = new Set(problems);
  }

  #sayOnce(text: string): void {
    if (text === this.#said) return;
    this.#said = text;
    this.#options.log.warn(text);
  }
}

function linksText(lans: readonly LanInterface[]): string {
  return JSON.stringify(lans.map(({ index, linkLocal }) => [index, linkLocal]));
}

function factsText(facts: OwnFacts): string {
  return JSON.stringify(plainMember({ ...facts, name: '', fresh: true }));
}
