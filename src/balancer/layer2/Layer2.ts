/**
 * Announces addresses on the LANs of this node: election → claims → orders to the responder → events of the responder → claims.
 * Nothing here is asked before an answer goes out: what is owned is answered by the responder's thread.
 */
import {
  type AnnounceEvent,
  AnnounceEventKind,
  type AnnounceStatus,
  type NativeResponder,
} from '../../kernel/addon/NativeResponder.js';
import { bytesToIp, type IpAddress, ipToBytes } from '../../net/ip.js';
import { macText } from '../../net/macText.js';
import type { Clock } from '../../time/Clock.js';
import type { MembershipView } from '../membership/Member.js';
import { AddressClaim, type ClaimState } from './AddressClaim.js';
import { type AddressWish, type Election, elect, type Liveness } from './election.js';
import { encodeOrders, type GiveWay, type Order } from './orders.js';

/** A wish, and where this node can announce it. */
export interface LocalWish extends AddressWish {
  /** Indexes of interfaces; none: this node cannot. */
  readonly interfaces: readonly number[];
}

/** An interface of this node that is on a LAN. */
export interface AnnouncingInterface {
  readonly index: number;
  readonly linkLocal: IpAddress | undefined;
}

export interface Layer2Listener {
  /** This node announces it from now on, or no longer. `peer`: who does instead, as far as was heard. */
  announcing(address: IpAddress, index: number, announces: boolean, peer: string | undefined): void;
  /** A stranger has it. `mac`: `02:00:…`. */
  conflict(address: IpAddress, index: number, mac: string): void;
  /** The process did not run for so long. */
  paused(milliseconds: number): void;
  peerChanged(name: string, state: 'alive' | 'dead' | 'leaving'): void;
  /** The kernel does not let the interface be used: errno. */
  interfaceFailed(index: number, errno: number): void;
}

export interface Layer2Options {
  readonly node: string;
  /** Opens the responder; it is closed with this. */
  readonly openResponder: (onEvents: () => void) => NativeResponder;
  /** Whether what is led to this node passes through this process (mode userspace), and ends with it. */
  readonly endsWithAgent: boolean;
  readonly clock: Clock;
  /** 0 up to 1. */
  readonly random: () => number;
  readonly listener: Layer2Listener;
}

/** How one address stands, for those who look. */
export interface Announced {
  readonly address: IpAddress;
  readonly interface: number;
  readonly state: ClaimState;
  readonly election: Election;
  readonly heardPeer: string | undefined;
  readonly conflict: string | undefined;
}

interface Entry {
  readonly wish: LocalWish;
  election: Election;
  /** By interface. */
  readonly claims: Map<number, AddressClaim>;
}

const MAC_BYTES = 6;
/** As many heartbeats lost in a row as make a death. */
const HEARD_MS = 1000;
/** Milliseconds in which every node has heard that one leaves, and has changed its tables. */
const LED_ELSEWHERE_MS = 1500;

export class Layer2 {
  readonly #options: Layer2Options;
  readonly #responder: NativeResponder;
  readonly #entries = new Map<IpAddress, Entry>();
  readonly #liveness = new Map<string, 'alive' | 'dead' | 'leaving'>();
  #view: MembershipView = { members: new Map(), connected: false };
  #cancelTimer: (() => void) | undefined;
  #closed = false;

  /** Throws what the responder throws. */
  constructor(options: Layer2Options) {
    this.#options = options;
    this.#responder = options.openResponder(() => this.#takeEvents());
  }

  /** Whole list. */
  setInterfaces(interfaces: readonly AnnouncingInterface[]): void {
    const failed = this.#responder.setInterfaces(
      interfaces.map(({ index, linkLocal }) => ({
        index,
        linkLocal: linkLocal === undefined ? new Uint8Array() : ipToBytes(linkLocal),
        mac: new Uint8Array(6),
        up: 0,
      })),
    );
    for (let i = 0; i < failed.length; i += 2)
      this.#options.listener.interfaceFailed(failed[i] as number, failed[i + 1] as number);
  }

  setMembership(view: MembershipView): void {
    this.#view = view;
    const peers = [...view.members.values()].filter(({ name }) => name !== this.#options.node);
    this.#responder.setPeers(
      peers.map(({ name, address, macs }) => ({
        name,
        address: address === undefined ? new Uint8Array() : ipToBytes(address),
        macs,
      })),
    );
    this.#recognise();
    for (const name of this.#liveness.keys())
      if (!view.members.has(name) && name !== this.#options.node) this.#liveness.delete(name);
    this.#elect();
  }

  /** Whole list. */
  setWishes(wishes: readonly LocalWish[]): void {
    const orders: Order[] = [];
    const wanted = new Map(wishes.map((wish) => [wish.address, wish]));
    for (const [address, { claims }] of this.#entries) {
      if (wanted.has(address)) continue;
      for (const claim of claims.values()) orders.push(this.#forget(claim));
      this.#entries.delete(address);
    }
    for (const wish of wanted.values()) {
      const claims = this.#entries.get(wish.address)?.claims ?? new Map<number, AddressClaim>();
      for (const [index, claim] of claims) {
        if (wish.interfaces.includes(index)) continue;
        orders.push(this.#forget(claim));
        claims.delete(index);
      }
      for (const index of wish.interfaces) {
        if (claims.has(index)) continue;
        claims.set(index, new AddressClaim(wish.address, index, this.#options.node, this.#options.random));
        orders.push({ command: 'observe', interface: index, address: wish.address });
      }
      const election = elect(wish, this.#view, this.#liveness);
      this.#entries.set(wish.address, { wish, election, claims });
    }
    this.#elect(orders);
  }

  /** As setFreshUntil() of the responder, from a moment of its now(). */
  setFreshUntil(until: number): void {
    this.#responder.setFreshUntil(until);
  }

  /** On the clock of setFreshUntil(). */
  now(): number {
    return this.#responder.now();
  }

  /** Lets the others take over in order: resolves when nothing is announced or, where traffic ends with this process, led here. */
  async leave(withinMs: number): Promise<void> {
    const { clock, node, endsWithAgent } = this.#options;
    this.#liveness.set(node, 'leaving');
    this.#responder.setLeaving(1);
    this.#elect();
    const [end, led] = [withinMs, endsWithAgent ? LED_ELSEWHERE_MS : 0].map((ms) => clock.now() + ms) as [
      number,
      number,
    ];
    while (!this.#closed && clock.now() < end && (this.#owned() > 0 || clock.now() < led))
      await new Promise<void>((resolve) => clock.after(50, resolve));
  }

  announced(): readonly Announced[] {
    return [...this.#entries.values()].flatMap(({ election, claims }) =>
      [...claims.values()].map((claim) => ({
        address: claim.address,
        interface: claim.interface,
        state: claim.state,
        election,
        heardPeer: claim.heardPeer,
        conflict: claim.conflict,
      })),
    );
  }

  /** Before this node serves it is as one that leaves. What an earlier agent left may still carry its traffic. */
  setServing(serves: boolean): void {
    const { node, endsWithAgent } = this.#options;
    this.#liveness.set(node, serves ? 'alive' : 'leaving');
    this.#responder.setEndsWithAgent(serves && endsWithAgent ? 1 : 0);
    this.#responder.setLeaving(serves ? 0 : 1);
    this.#elect();
  }

  /** Also of addresses that this node cannot announce. */
  elections(): ReadonlyMap<IpAddress, Election> {
    return new Map([...this.#entries].map(([address, { election }]) => [address, election]));
  }

  status(): AnnounceStatus {
    return this.#responder.status();
  }

  /** Names of the peers whose heartbeats come in. */
  heard(): ReadonlySet<string> {
    return new Set(
      this.status()
        .peers.filter(({ silentForMs }) => silentForMs >= 0 && silentForMs <= HEARD_MS)
        .map(({ name }) => name),
    );
  }

  /** Names of the nodes whose traffic ends with their agent, by their own words. */
  endingWithAgent(): ReadonlySet<string> {
    const peers = this.status()
      .peers.filter((peer) => peer.endsWithAgent === 1)
      .map(({ name }) => name);
    return new Set(this.#options.endsWithAgent ? [...peers, this.#options.node] : peers);
  }

  get liveness(): Liveness {
    return this.#liveness;
  }

  /** Silent at once; leave() hands over before. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer?.();
    this.#responder.close();
  }

  #owned(): number {
    let count = 0;
    for (const { claims } of this.#entries.values())
      for (const { isAnnounced } of claims.values()) if (isAnnounced) count++;
    return count;
  }

  #claims(): readonly AddressClaim[] {
    return [...this.#entries.values()].flatMap(({ claims }) => [...claims.values()]);
  }

  #forget(claim: AddressClaim): Order {
    if (claim.isTold) this.#options.listener.announcing(claim.address, claim.interface, false, undefined);
    return { command: 'forget', interface: claim.interface, address: claim.address };
  }

  #announceAgain(): void {
    const owned = this.#claims().filter(({ state }) => state === 'owning');
    this.#run(
      owned.map(({ interface: index, address }) => ({ command: 'announce', interface: index, address })),
    );
  }

  /** A node may have been heard before it was known, from its Lease or its heartbeats. */
  #recognise(): void {
    const conflicts = this.#claims().filter(({ conflict }) => conflict !== undefined);
    if (conflicts.length === 0) return;
    const names = new Map<string, string>();
    for (const { name, macs } of this.#view.members.values())
      for (const mac of macs) names.set(macText(mac), name);
    for (const { name, macs } of this.#responder.status().peers)
      for (let i = 0; i + MAC_BYTES <= macs.length; i += MAC_BYTES)
        names.set(macText(macs.subarray(i, i + MAC_BYTES)), name);
    for (const claim of conflicts) {
      const peer = names.get(claim.conflict ?? '');
      if (peer !== undefined) claim.recognised(peer, this.#options.clock.now());
    }
  }

  /** Who owns what, anew; after the orders that are given. */
  #elect(before: readonly Order[] = []): void {
    if (this.#closed) return;
    const now = this.#options.clock.now();
    const orders = [...before];
    for (const entry of this.#entries.values()) {
      entry.election = elect(entry.wish, this.#view, this.#liveness);
      const { owner, passedOver } = entry.election;
      const wanted = { owner, giveWay: this.#giveWay(passedOver) };
      for (const claim of entry.claims.values()) this.#step(claim, orders, () => claim.want(wanted, now));
    }
    this.#run(orders);
  }

  /** Those passed over may be alive, and only unheard. A frozen view may be wrong about anybody. */
  #giveWay(passedOver: readonly string[]): GiveWay {
    if (!this.#view.connected) return 'to all';
    return passedOver.length > 0 ? 'to first' : 'to nobody';
  }

  #step(claim: AddressClaim, orders: Order[], decide: () => Order | undefined): void {
    const order = decide();
    if (order) orders.push(order);
    this.#report(claim, undefined);
  }

  #run(orders: readonly Order[]): void {
    if (orders.length > 0) this.#responder.run(encodeOrders(orders));
    this.#setTimer();
  }

  /** For the first of the claims that are to be tried again. */
  #setTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#closed) return;
    let first = Number.POSITIVE_INFINITY;
    for (const { claims } of this.#entries.values())
      for (const { retryAt } of claims.values()) if (retryAt !== undefined) first = Math.min(first, retryAt);
    if (first === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = this.#options.clock.after(Math.max(1, first - this.#options.clock.now()), () => {
      const now = this.#options.clock.now();
      const orders: Order[] = [];
      for (const { claims } of this.#entries.values())
        for (const claim of claims.values()) this.#step(claim, orders, () => claim.next(now));
      this.#run(orders);
    });
  }

  #takeEvents(): void {
    if (this.#closed) return;
    let peersChanged = false;
    let isBack = false;
    for (const event of this.#responder.takeEvents()) {
      isBack ||= PEER_EVENTS.get(event.kind) === 'alive' && this.#liveness.get(event.peer) === 'dead';
      peersChanged = this.#take(event) || peersChanged;
    }
    // Both may have what the other took for dead had, and nobody may be in doubt until the next reminder.
    if (isBack) this.#announceAgain();
    if (peersChanged) {
      this.#recognise();
      this.#elect();
    } else this.#setTimer();
  }

  /** Answers whether another may be elected now. */
  #take(event: AnnounceEvent): boolean {
    const { listener } = this.#options;
    const kind = AnnounceEventKind;
    const state = PEER_EVENTS.get(event.kind);
    if (state !== undefined) {
      this.#liveness.set(event.peer, state);
      if (state === 'dead') for (const claim of this.#claims()) claim.silent(event.peer);
      listener.peerChanged(event.peer, state);
      return true;
    }
    if (event.kind === kind.paused) listener.paused(event.value);
    if (event.address.length === 0) return false;
    const address = bytesToIp(event.address);
    const claim = this.#entries.get(address)?.claims.get(event.interface);
    // An event may be about what was forgotten meanwhile.
    if (claim) this.#tell(claim, event);
    return false;
  }

  #tell(claim: AddressClaim, event: AnnounceEvent): void {
    const { clock, listener } = this.#options;
    const { address, interface: index } = claim;
    const kind = AnnounceEventKind;
    switch (event.kind) {
      case kind.claimed: {
        const order = claim.claimed();
        if (order) this.#responder.run(encodeOrders([order]));
        break;
      }
      case kind.yielded:
      case kind.answered:
        claim.lost(event.peer, clock.now());
        break;
      case kind.ceded:
        claim.ceded(event.peer);
        break;
      case kind.conflict:
        claim.conflicted(macText(event.mac), event.value === 1, clock.now());
        listener.conflict(address, index, macText(event.mac));
        break;
      case kind.seen:
        claim.seen(event.peer);
        return;
    }
    this.#report(claim, claim.heardPeer);
  }

  /** Tells the listener what is another now. What is asked for again before it is given up stays as it was told. */
  #report(claim: AddressClaim, peer: string | undefined): void {
    const announces = claim.state === 'probing' ? claim.isTold : claim.isAnnounced;
    if (announces === claim.isTold) return;
    claim.isTold = announces;
    const { listener } = this.#options;
    listener.announcing(claim.address, claim.interface, announces, announces ? undefined : peer);
  }
}

const PEER_EVENTS: ReadonlyMap<number, 'alive' | 'dead' | 'leaving'> = new Map([
  [AnnounceEventKind.peerUp, 'alive'],
  [AnnounceEventKind.peerDown, 'dead'],
  [AnnounceEventKind.peerLeaving, 'leaving'],
]);
