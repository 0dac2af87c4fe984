/** The announcer's deciding parts of one node: the machine on the wire, layer 2 and the Leases; what is around them is simulated. */
import { Layer2 } from '../../../src/balancer/layer2/Layer2.js';
import { LEASE_MS, LeaseMembership } from '../../../src/balancer/membership/LeaseMembership.js';
import type {
  AnnounceEvent,
  AnnounceModel,
  NativeResponder,
} from '../../../src/kernel/addon/NativeResponder.js';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';
import type { Cidr, IpAddress } from '../../../src/net/ip.js';
import { ipToBytes } from '../../../src/net/ip.js';
import type { Clock } from '../../../src/time/Clock.js';
import { INTERFACE, macOfNode } from '../../support/balancer/modelLan.js';
import type { VirtualTime } from '../VirtualTime.js';
import type { LeaseServer } from './LeaseServer.js';

/** Milliseconds; the thread sleeps until something is due, which the model does not tell. */
const STEP_MS = 50;
/** As the responder's: 200 ms, five lost. */
const HEARTBEAT = { everyMs: 200, lost: 5 } as const;
const ANSWERING: ReadonlySet<number> = new Set([2, 3]);

export interface Wire {
  /** To all, or to the one with the hardware address at its front. */
  frame(from: AnnouncingNode, bytes: Uint8Array): void;
  /** To the nodes whose addresses are known. */
  heartbeat(from: AnnouncingNode, to: ReadonlySet<string>, bytes: Uint8Array): void;
}

interface Process {
  readonly owner: number;
  readonly model: AnnounceModel;
  readonly layer2: Layer2;
  readonly membership: LeaseMembership;
  readonly takeEvents: () => void;
  readonly stopWatching: () => void;
}

export class AnnouncingNode {
  readonly name: string;
  readonly number: number;
  readonly #time: VirtualTime;
  readonly #server: LeaseServer;
  readonly #wire: Wire;
  readonly #random: () => number;
  readonly #say: (line: string) => void;
  readonly #addresses: readonly IpAddress[];
  /** Milliseconds since the machine was switched on, minus the time of the simulation. */
  readonly #bootOffset: number;
  #process: Process | undefined;
  #settledAt = Number.POSITIVE_INFINITY;
  #pausedAt: number | undefined;
  /** What came while the process was paused. */
  #deferred: { readonly owner: number; readonly action: (paused: boolean) => void }[] = [];
  /** Milliseconds that the wall clock is wrong by; nothing may depend on it. */
  wallOffset = 0;

  constructor(
    number: number,
    around: {
      time: VirtualTime;
      server: LeaseServer;
      wire: Wire;
      random: () => number;
      say: (line: string) => void;
    },
    addresses: readonly IpAddress[],
  ) {
    this.name = `node${number}`;
    this.number = number;
    this.#time = around.time;
    this.#server = around.server;
    this.#wire = around.wire;
    this.#random = around.random;
    this.#say = (line) => around.say(`${this.name} ${line}`);
    this.#addresses = addresses;
    this.#bootOffset = Math.floor(around.random() * 1e9);
  }

  get address(): Uint8Array {
    return Uint8Array.of(192, 0, 2, this.number);
  }

  get mac(): Uint8Array {
    return macOfNode(this.number);
  }

  get runs(): boolean {
    return this.#process !== undefined && this.#pausedAt === undefined;
  }

  get isAlive(): boolean {
    return this.#process !== undefined;
  }

  /** Since when this process knows the others; infinite: not yet. */
  get settledAt(): number {
    return this.#settledAt;
  }

  /** How many of the others it has heard since it began. */
  get met(): number {
    const { peers } = this.#process?.model.status(this.#now()) ?? { peers: [] };
    return peers.filter(({ silentForMs }) => silentForMs >= 0).length;
  }

  /** Whether it would answer who asks for the address. */
  answersFor(address: IpAddress): boolean {
    return this.runs && ANSWERING.has(this.#process?.model.stateOf(INTERFACE, ipToBytes(address)) ?? -1);
  }

  start(): void {
    const time = this.#time;
    const owner = time.begin();
    const clock: Clock = {
      now: () => time.now(),
      date: () => time.date(),
      after: (milliseconds, action) => {
        let live = true;
        time.set(milliseconds, () => this.#whenRunning(owner, () => live && action()), undefined, owner);
        return () => {
          live = false;
        };
      },
    };
    const model = new (nativeAddon().AnnounceModel)(this.name, HEARTBEAT.everyMs, HEARTBEAT.lost);
    const events: AnnounceEvent[] = [];
    let onEvents = () => {};
    let peers: ReadonlySet<string> = new Set();
    const settle = () => {
      for (const frame of model.takeFrames()) if (typeof frame !== 'number') this.#wire.frame(this, frame);
      for (const event of model.takeEvents()) events.push(event);
      if (events.length > 0) clock.after(0, onEvents);
    };
    const responder: NativeResponder = {
      setInterfaces: () => [],
      setPeers: (list) => {
        peers = new Set(list.map(({ name }) => name));
        model.setPeers(list);
      },
      setFreshUntil: (until) => model.setFreshUntil(until),
      setLeaving: (leaving) => model.setLeaving(leaving),
      setEndsWithAgent: (ends) => model.setEndsWithAgent(ends),
      run: (orders) => {
        model.run(orders, this.#now());
        settle();
      },
      takeEvents: () => events.splice(0),
      status: () => model.status(this.#now()),
      now: () => this.#now(),
      close: () => {},
    };
    model.setInterfaces(
      [{ index: INTERFACE, mac: this.mac, up: 1, linkLocal: new Uint8Array() }],
      this.#now(),
    );
    let heard = () => {};
    const layer2 = new Layer2({
      node: this.name,
      openResponder: (told) => {
        onEvents = told;
        return responder;
      },
      endsWithAgent: false,
      clock,
      random: this.#random,
      listener: {
        announcing: (address, _index, announces, peer) =>
          this.#say(
            announces
              ? `announces ${address}`
              : `announces ${address} no longer${peer ? `, ${peer} does` : ''}`,
          ),
        conflict: (address, _index, mac) => this.#say(`conflict about ${address} with ${mac}`),
        paused: () => {},
        peerChanged: (name, state) => {
          if (state === 'alive') heard();
          this.#say(`${name} is ${state}`);
        },
        interfaceFailed: () => {},
      },
    });
    let settled = false;
    heard = () => membership.peerHeard();
    const wishes = this.#addresses.map((address) => ({
      address,
      advertisements: ['lan'],
      nodes: undefined,
      movedTo: undefined,
      interfaces: [INTERFACE],
    }));
    const membership = new LeaseMembership({
      api: this.#server.accessOf(this.name, (action) => this.#whenRunning(owner, action)),
      namespace: 'kube-system',
      node: this.name,
      clock,
      random: this.#random,
      wallClock: () => 1_800_000_000_000 + time.now() + this.wallOffset,
      facts: () => ({
        address: `192.0.2.${this.number}` as IpAddress,
        macs: [this.mac],
        subnets: ['192.0.2.0/24' as Cidr],
        advertises: new Map([['lan', 'candidate']]),
      }),
      heard: () => layer2.heard(),
      onDeaf: (deaf) => this.#say(deaf ? 'calls itself deaf' : 'hears again'),
      onView: (view) => {
        layer2.setMembership(view);
        // As the announcer: not before the Leases have been read.
        if (!settled && view.connected) layer2.setWishes(wishes);
        if (!settled && view.connected) this.#settledAt = time.now();
        settled ||= view.connected;
      },
      onRenewed: (sentAt) => layer2.setFreshUntil(sentAt + LEASE_MS),
      now: () => this.#now(),
      onTrouble: () => {},
    });
    const stopWatching = this.#server.watch(this.name, (type, raw) =>
      this.#whenRunning(owner, () => (type === 'upsert' ? membership.upsert(raw) : membership.remove(raw))),
    );
    this.#process = { owner, model, layer2, membership, takeEvents: settle, stopWatching };
    const step = () => {
      const beat = model.advance(this.#now());
      if (beat) this.#wire.heartbeat(this, peers, beat);
      settle();
      clock.after(STEP_MS, step);
    };
    clock.after(this.#random() * STEP_MS, step);
    membership.start();
  }

  /** As SIGKILL, or a machine that loses its power. */
  kill(): void {
    this.#settledAt = Number.POSITIVE_INFINITY;
    const process = this.#process;
    if (process === undefined) return;
    process.stopWatching();
    this.#time.kill(process.owner);
    this.#process = undefined;
    this.#pausedAt = undefined;
    this.#deferred = [];
  }

  pause(): void {
    if (this.runs) this.#pausedAt = this.#time.now();
  }

  resume(): void {
    const began = this.#pausedAt;
    if (began === undefined || this.#process === undefined) return;
    this.#pausedAt = undefined;
    const { model, takeEvents } = this.#process;
    // As Responder::Step: what has waited is read first, then the machine hears how long that was.
    const late = Math.floor(this.#time.now() - began);
    const isLong = late > HEARTBEAT.everyMs * HEARTBEAT.lost;
    const waited = this.#deferred;
    this.#deferred = [];
    const frames = waited.filter(({ action }) => action.length > 0);
    for (const { action } of frames) action(isLong);
    if (isLong) model.pause(late, this.#now());
    takeEvents();
    for (const each of waited) if (!frames.includes(each)) each.action(isLong);
  }

  takeFrame(bytes: Uint8Array): void {
    this.#whenReading((paused) => this.#process?.model.frame(INTERFACE, bytes, this.#now(), paused ? 1 : 0));
  }

  takeHeartbeat(from: Uint8Array, bytes: Uint8Array): void {
    this.#whenReading((_paused) => this.#process?.model.datagram(from, bytes, this.#now()));
  }

  #now(): number {
    return Math.floor(this.#time.now()) + this.#bootOffset;
  }

  #whenRunning(owner: number, action: () => void): void {
    if (this.#process?.owner !== owner) return;
    if (this.#pausedAt === undefined) action();
    else this.#deferred.push({ owner, action: () => action() });
  }

  /** Of sockets: frames and datagrams. */
  #whenReading(action: (paused: boolean) => void): void {
    const process = this.#process;
    if (process === undefined) return;
    if (this.#pausedAt !== undefined) {
      this.#deferred.push({ owner: process.owner, action: (paused) => action(paused) });
      return;
    }
    action(false);
    process.takeEvents();
  }
}
