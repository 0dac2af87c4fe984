/** A history of one LAN with three announcing nodes: faults at random, and what must hold whatever happens. */

import { leaseName } from '../../../src/balancer/membership/leases.js';
import type { IpAddress } from '../../../src/net/ip.js';
import { Chance } from '../Chance.js';
import { VirtualTime } from '../VirtualTime.js';
import { AnnouncingNode } from './AnnouncingNode.js';
import { LeaseServer } from './LeaseServer.js';

const NODES = 3;
const ADDRESSES = ['192.0.2.100', '192.0.2.101', '192.0.2.102', '192.0.2.103'] as IpAddress[];
/** How often it is looked whether everything holds, in milliseconds. */
const LOOK_MS = 100;

/** The bounds that docs/loadbalancer.md states, in milliseconds. */
export const BOUNDS = {
  /** Two answer although they hear each other: an announcement that got lost is repeated after 1.1 s. */
  two: 2000,
  /** The same after one has heard the other's announcement. */
  twoAfterAnnouncement: 400,
  /** Nobody answers although a node is there that everybody hears. */
  none: 8000,
} as const;

const FAULTS = {
  'API away': 15,
  'API away for all': 8,
  'LAN away': 15,
  'API and LAN away': 10,
  'hears nothing': 8,
  'is not heard': 8,
  'loses a third of all frames': 8,
  'clock jumps': 8,
  paused: 12,
  killed: 8,
  // Only where it is planned.
  'its Lease deleted': 0,
  'all Leases deleted': 0,
} as const;
type Fault = keyof typeof FAULTS;
type NodeFault = Exclude<Fault, 'API away for all' | 'clock jumps'>;

/** A fault that is meant, instead of one at random. */
export interface PlannedFault {
  /** Milliseconds after the fault before. */
  readonly after: number;
  /** Number of the node. */
  readonly node: number;
  readonly fault: NodeFault;
  readonly lasts: number;
}

export interface AnnouncingOutcome {
  readonly faults: number;
  /** Longest seen, in milliseconds. */
  readonly two: number;
  readonly twoAfterAnnouncement: number;
  readonly none: number;
  /** Milliseconds lived, and how often addresses changed hands. */
  readonly lived: number;
  readonly moves: number;
}

export interface AnnouncingOptions {
  readonly faults: number;
  readonly say?: (line: string) => void;
}

/** Rejects when something does not hold. */
export async function liveAnnouncing(seed: number, options: AnnouncingOptions): Promise<AnnouncingOutcome> {
  const history = new AnnouncingHistory(seed, options);
  return history.live();
}

/**
 * The same with faults that are meant; nothing is left out of what must hold.
 */
export async function livePlanned(
  seed: number,
  faults: readonly PlannedFault[],
  say?: (line: string) => void,
): Promise<AnnouncingOutcome> {
  const history = new AnnouncingHistory(seed, { faults: faults.length, ...(say ? { say } : {}) });
  return history.livePlanned(faults);
}

class AnnouncingHistory {
  readonly #options: AnnouncingOptions;
  readonly #chance: Chance;
  readonly #time = new VirtualTime();
  readonly #server: LeaseServer;
  readonly #nodes: readonly AnnouncingNode[];
  /** Of frames from and to each node, that are lost, in percent; and when that changed last. */
  readonly #lossOut: number[] = [0, 0, 0];
  readonly #lossIn: number[] = [0, 0, 0];
  readonly #since: number[] = [0, 0, 0];
  readonly #busy = new Set<number>();
  /** By address and two nodes: since when both answer, and since when one of them has heard the other. */
  readonly #two = new Map<string, { readonly since: number; heard: number | undefined }>();
  readonly #none = new Map<IpAddress, number>();
  readonly #owners = new Map<IpAddress, string>();
  readonly #longest = { two: 0, twoAfterAnnouncement: 0, none: 0 };
  #moves = 0;
  #isPlanned = false;

  constructor(seed: number, options: AnnouncingOptions) {
    this.#options = options;
    this.#chance = new Chance(seed);
    this.#server = new LeaseServer(this.#time, this.#chance);
    const around = {
      time: this.#time,
      server: this.#server,
      random: this.#chance.random,
      say: (line: string) => this.#say(`    ${line}`),
      wire: {
        frame: (from: AnnouncingNode, bytes: Uint8Array) => this.#frame(from, bytes),
        heartbeat: (from: AnnouncingNode, peers: ReadonlySet<string>, bytes: Uint8Array) =>
          this.#toOthers(from, (to) => peers.has(to.name) && to.takeHeartbeat(from.address, bytes)),
      },
    };
    this.#nodes = Array.from({ length: NODES }, (_, i) => new AnnouncingNode(i + 1, around, ADDRESSES));
  }

  async live(): Promise<AnnouncingOutcome> {
    await this.#start();
    for (let i = 0; i < this.#options.faults; i++) {
      this.#happen();
      await this.#time.pass(100 + this.#chance.random() ** 2 * 4500);
    }
    await this.#time.pass(30_000);
    return this.#outcome(this.#options.faults);
  }

  async #start(): Promise<void> {
    for (const node of this.#nodes) node.start();
    await this.#time.pass(5000);
    const look = () => {
      this.#look();
      this.#time.afterForAll(LOOK_MS, look);
    };
    this.#time.afterForAll(0, look);
  }

  #outcome(faults: number): AnnouncingOutcome {
    return { faults, ...this.#longest, lived: this.#time.now(), moves: this.#moves };
  }

  async livePlanned(faults: readonly PlannedFault[]): Promise<AnnouncingOutcome> {
    this.#isPlanned = true;
    await this.#start();
    for (const { after, node: number, fault, lasts } of faults) {
      await this.#time.pass(after);
      const node = this.#nodes[number - 1];
      if (node !== undefined) this.#suffer(node, fault, lasts);
    }
    await this.#time.pass(Math.max(...faults.map(({ lasts }) => lasts)) + 30_000);
    return this.#outcome(faults.length);
  }

  #happen(): void {
    const fault = this.#pickFault();
    const node = this.#chance.pick(this.#nodes);
    const lasts = 50 + this.#chance.random() ** 2 * 15_000;
    if (fault === 'API away for all') {
      this.#say(`${fault} for ${Math.round(lasts)} ms`);
      const cut = this.#nodes.filter(({ name }) => !this.#server.isCut(name));
      for (const { name } of cut) this.#server.cut(name);
      this.#time.afterForAll(lasts, () => {
        for (const { name } of cut) this.#server.restore(name);
      });
      return;
    }
    if (fault === 'clock jumps') {
      node.wallOffset += (this.#chance.random() - 0.5) * 1e8;
      this.#say(`${node.name}: ${fault}`);
      return;
    }
    // One fault of a node at a time, else one would end the other.
    if (this.#busy.has(node.number)) return;
    this.#busy.add(node.number);
    this.#suffer(node, fault, lasts);
  }

  #suffer(node: AnnouncingNode, fault: NodeFault, lasts: number): void {
    this.#say(`${node.name}: ${fault} for ${Math.round(lasts)} ms`);
    const end = this.#begin(fault, node);
    this.#time.afterForAll(lasts, () => {
      this.#say(`${node.name}: ${fault} is over`);
      end();
      this.#touched(node);
      this.#busy.delete(node.number);
    });
  }

  /** Answers how to end it. */
  #begin(fault: NodeFault, node: AnnouncingNode): () => void {
    const i = node.number - 1;
    const lose = (out: number, into: number) => {
      this.#lossOut[i] = out;
      this.#lossIn[i] = into;
      this.#touched(node);
    };
    switch (fault) {
      case 'API away':
        this.#server.cut(node.name);
        return () => this.#server.restore(node.name);
      case 'LAN away':
        lose(100, 100);
        return () => lose(0, 0);
      case 'API and LAN away':
        lose(100, 100);
        this.#server.cut(node.name);
        return () => {
          lose(0, 0);
          this.#server.restore(node.name);
        };
      case 'hears nothing':
        lose(0, 100);
        return () => lose(0, 0);
      case 'is not heard':
        lose(100, 0);
        return () => lose(0, 0);
      case 'loses a third of all frames':
        lose(33, 33);
        return () => lose(0, 0);
      case 'paused':
        node.pause();
        this.#touched(node);
        return () => node.resume();
      case 'its Lease deleted':
      case 'all Leases deleted':
        this.#server.delete(fault === 'all Leases deleted' ? undefined : [leaseName(node.name)]);
        return () => {};
      case 'killed':
        node.kill();
        this.#touched(node);
        return () => node.start();
    }
  }

  #pickFault(): Fault {
    let left = this.#chance.below(Object.values(FAULTS).reduce<number>((sum, weight) => sum + weight, 0));
    for (const [fault, weight] of Object.entries(FAULTS)) {
      left -= weight;
      if (left < 0) return fault as Fault;
    }
    throw new RangeError('no fault');
  }

  #touched(node: AnnouncingNode): void {
    this.#since[node.number - 1] = this.#time.now();
  }

  #sinceOf(node: AnnouncingNode): number {
    return this.#since[node.number - 1] ?? 0;
  }

  #frame(from: AnnouncingNode, bytes: Uint8Array): void {
    const toAll = ((bytes[0] as number) & 1) === 1;
    this.#toOthers(from, (to) => {
      if (!toAll && Buffer.compare(bytes.subarray(0, 6), to.mac) !== 0) return;
      to.takeFrame(bytes);
      if (toAll) this.#noteAnnouncement(from, to, bytes);
    });
  }

  #toOthers(from: AnnouncingNode, deliver: (to: AnnouncingNode) => void): void {
    for (const to of this.#nodes) {
      if (to === from) continue;
      const lost =
        this.#chance.percent(this.#lossOut[from.number - 1] ?? 0) ||
        this.#chance.percent(this.#lossIn[to.number - 1] ?? 0);
      if (lost) continue;
      this.#time.afterForAll(0.1 + this.#chance.random(), () => {
        if (this.#lossIn[to.number - 1] !== 100) deliver(to);
      });
    }
  }

  /** ARP: the sender's address is at byte 28, the target's at 38; an announcement has the same twice. */
  #noteAnnouncement(from: AnnouncingNode, to: AnnouncingNode, bytes: Uint8Array): void {
    const [sender, target] = [bytes.subarray(28, 32), bytes.subarray(38, 42)];
    if (Buffer.compare(sender, target) !== 0) return;
    const two = this.#two.get(`${sender.join('.')} ${pairOf(from, to)}`);
    if (two) two.heard ??= this.#time.now();
  }

  /** Whether everybody hears it, and it everybody; it runs. */
  #isSound(node: AnnouncingNode): boolean {
    const i = node.number - 1;
    return node.runs && this.#lossIn[i] === 0 && this.#lossOut[i] === 0;
  }

  /** Whether some questions reach it, and some answers come back. */
  #isHeard(node: AnnouncingNode): boolean {
    const i = node.number - 1;
    return (this.#lossIn[i] ?? 0) < 100 && (this.#lossOut[i] ?? 0) < 100;
  }

  #isSent(node: AnnouncingNode): boolean {
    return (this.#lossOut[node.number - 1] ?? 0) < 100;
  }

  #look(): void {
    for (const address of ADDRESSES) {
      const answering = this.#nodes.filter((node) => node.answersFor(address));
      this.#lookForTwo(address, answering);
      this.#lookForNone(address, answering);
      const owner = answering.length === 1 ? answering[0]?.name : undefined;
      if (owner === undefined || this.#owners.get(address) === owner) continue;
      this.#moves++;
      this.#owners.set(address, owner);
      this.#say(`${address}: ${owner}`);
    }
  }

  #lookForTwo(address: IpAddress, answering: readonly AnnouncingNode[]): void {
    const now = this.#time.now();
    for (const [i, a] of this.#nodes.entries())
      for (const b of this.#nodes.slice(i + 1)) {
        const key = `${address} ${pairOf(a, b)}`;
        const both = answering.includes(a) && answering.includes(b) && this.#isSound(a) && this.#isSound(b);
        if (!both) {
          this.#two.delete(key);
          continue;
        }
        const two = this.#two.get(key) ?? { since: now, heard: undefined };
        this.#two.set(key, two);
        // What would have followed from it may have been lost since, in a fault shorter than a look.
        if (two.heard !== undefined && two.heard < Math.max(this.#sinceOf(a), this.#sinceOf(b)))
          two.heard = undefined;
        this.#hold('two', now - two.since, `${a.name} and ${b.name} both answer for ${address}`);
        if (two.heard !== undefined)
          this.#hold(
            'twoAfterAnnouncement',
            now - two.heard,
            `${a.name} and ${b.name} have heard and answer for ${address}`,
          );
      }
  }

  #lookForNone(address: IpAddress, answering: readonly AnnouncingNode[]): void {
    const now = this.#time.now();
    // A node that begins without the API server knows nobody; one that has heard only one other cannot know that it is deaf.
    const sound = this.#nodes.filter((node) => this.#isSound(node) && node.settledAt <= now);
    const hidesDeafness = this.#nodes.some(
      (node) => node.runs && this.#lossIn[node.number - 1] === 100 && this.#isSent(node) && node.met < 2,
    );
    // From when on a node was there that could have answered all the time.
    const since = Math.min(...sound.map((node) => Math.max(this.#sinceOf(node), node.settledAt)), now);
    // Nor whether the others are all mute, or a firewall is in the way, when it never heard one of them.
    const hidesSilence = sound.every(
      (node) =>
        node.met < 2 && this.#nodes.every((other) => other === node || !other.runs || !this.#isSent(other)),
    );
    const nobodyCouldKnow = !this.#isPlanned && (hidesDeafness || hidesSilence);
    if (sound.length === 0 || nobodyCouldKnow || answering.some((node) => this.#isHeard(node))) {
      this.#none.delete(address);
      return;
    }
    const began = this.#none.get(address) ?? now;
    this.#none.set(address, began);
    const lasted = now - Math.max(began, since);
    this.#hold(
      'none',
      lasted,
      `nobody answers for ${address}, though ${sound.map(({ name }) => name).join(' and ')} could`,
    );
  }

  #hold(what: keyof typeof BOUNDS, lasted: number, text: string): void {
    this.#longest[what] = Math.max(this.#longest[what], lasted);
    if (lasted > BOUNDS[what])
      throw new Error(`at ${Math.round(this.#time.now())} ms: ${text}, for ${Math.round(lasted)} ms`);
  }

  #say(line: string): void {
    this.#options.say?.(`${Math.round(this.#time.now())} ${line}`);
  }
}

function pairOf(a: AnnouncingNode, b: AnnouncingNode): string {
  return [a.name, b.name].sort().join(' ');
}
