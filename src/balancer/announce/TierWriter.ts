/** Keeps the tables of both tiers as the Services and nodes ask for it; one write after the other, the latest state wins. */
import type { Logger } from 'pino';
import { messageOf } from '../../errors.js';
import type { IpAddress } from '../../net/ip.js';
import type { Clock } from '../../time/Clock.js';
import type { Liveness } from '../layer2/election.js';
import type { MembershipView } from '../membership/Member.js';
import type { TierTables } from '../tiers/TierTables.js';
import { type TierNode, type TierService, tableDigest, tierContents } from '../tiers/tierContents.js';
import { AliveNodes } from './AliveNodes.js';
import type { BalancedService } from './LoadBalancerServices.js';
import type { LanInterface } from './OwnNode.js';
import { type AskMachine, SilentNodes } from './SilentNodes.js';
import { reachableNodes, TierPlan } from './TierPlan.js';

export interface TierWish {
  /** This one. */
  readonly node: string;
  readonly services: readonly BalancedService[];
  readonly view: MembershipView;
  readonly liveness: Liveness;
  /** Nodes whose traffic ends with their agent. */
  readonly endingWithAgent: ReadonlySet<string>;
  /** Hardware addresses that heartbeats of the other nodes name. */
  readonly heardMacs: readonly Uint8Array[];
  readonly lans: readonly LanInterface[];
}

export interface TierState {
  readonly works: boolean;
  /** Why not. */
  readonly reason: string | undefined;
  /** Ports that lead on. */
  readonly ports: number;
  /** Equal on nodes that agree. */
  readonly digest: string;
}

const RETRY_MS = 5000;
/** How often it is looked whether the tables are still there. */
const LOOK_MS = 30_000;

export class TierWriter {
  readonly #node: string;
  readonly #tables: TierTables;
  readonly #clock: Clock;
  readonly #log: Pick<Logger, 'warn'>;
  readonly #onWorks: () => void;
  readonly #plan = new TierPlan();
  readonly #alive: AliveNodes;
  readonly #silent: SilentNodes;
  #wish: TierWish | undefined;
  #writing: Promise<void> | undefined;
  #again = false;
  #reason: string | undefined;
  #ports = 0;
  #digest = '';
  /** What was written last. */
  #led:
    | { readonly services: readonly TierService[]; readonly reachable: ReadonlyMap<string, TierNode> }
    | undefined;
  #cancelLook: () => void;
  #cancelRetry: () => void = () => {};
  #cancelAgain: () => void = () => {};
  #closed = false;

  /** `onWorks`: when the kernel began or ceased to take the tables. */
  constructor(
    node: string,
    tables: TierTables,
    askMachine: AskMachine,
    clock: Clock,
    log: Pick<Logger, 'warn'>,
    onWorks: () => void,
  ) {
    this.#node = node;
    this.#alive = new AliveNodes(node);
    this.#silent = new SilentNodes(askMachine, clock, () => this.#begin());
    this.#tables = tables;
    this.#clock = clock;
    this.#log = log;
    this.#onWorks = onWorks;
    this.#cancelLook = clock.after(LOOK_MS, () => this.#look());
  }

  /** False: this kernel refuses the tables, so nodes without endpoints must not announce. */
  get works(): boolean {
    return this.#reason === undefined;
  }

  get state(): TierState {
    return { works: this.works, reason: this.#reason, ports: this.#ports, digest: this.#digest };
  }

  /** The share (0..1) of each node of the connections from outside to an announced port; undefined: none is led on. */
  ledOn(address: string, protocol: string, port: number): ReadonlyMap<string, number> | undefined {
    const led = this.#led?.services.find(
      (each) => each.address === address && each.protocol === protocol && each.port === port,
    );
    if (led === undefined || !this.works) return undefined;
    const shares = new Map<string, number>();
    for (const slot of led.table) {
      // A slot without a node that can be reached stays here.
      const node = slot !== undefined && this.#led?.reachable.has(slot) ? slot : this.#node;
      shares.set(node, (shares.get(node) ?? 0) + 1 / led.table.length);
    }
    return shares;
  }

  set(wish: TierWish): void {
    this.#wish = wish;
    this.#begin();
  }

  /** The tables stay: packets go on while no agent runs. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelLook();
    this.#cancelRetry();
    this.#cancelAgain();
    this.#silent.close();
    await this.#writing;
    this.#cancelAgain();
  }

  #begin(): void {
    if (this.#closed) return;
    if (this.#writing) {
      this.#again = true;
      return;
    }
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
      if (!this.#again) return;
      this.#again = false;
      this.#begin();
    });
  }

  async #write(): Promise<void> {
    const wish = this.#wish;
    if (wish === undefined) return;
    const { node, services, view, liveness, endingWithAgent, lans, heardMacs } = wish;
    const now = this.#clock.now();
    const alive = this.#alive.of(view, liveness, now, this.#silent.answering, endingWithAgent);
    const wanted = this.#plan.services(services, alive, now);
    this.#lookAgain(now);
    const reachable = reachableNodes(node, view, lans);
    if (!this.#closed) this.#silent.set(addressesOf(this.#alive.silent, reachable));
    const contents = tierContents(node, wanted, reachable);
    const told = [...view.members.values()]
      .filter(({ name }) => name !== node)
      .flatMap((member) => member.macs);
    const macs = new Map([...told, ...heardMacs].map((mac) => [mac.join(), mac]));
    this.#ports = contents.services.length;
    this.#digest = tableDigest(wanted);
    this.#led = { services: wanted, reachable };
    try {
      if (wanted.length === 0) await this.#tables.clear();
      else
        await this.#tables.write({
          contents,
          devices: lans.filter(({ isUp }) => isUp),
          macs: [...macs.values()],
        });
      this.#became(undefined);
    } catch (error) {
      this.#became(messageOf(error));
      this.#cancelRetry();
      this.#cancelRetry = this.#clock.after(RETRY_MS, () => this.#begin());
    }
  }

  /** A death counts when it has lasted. */
  #lookAgain(now: number): void {
    const at = this.#alive.nextLook;
    this.#cancelAgain();
    if (at !== undefined && !this.#closed)
      this.#cancelAgain = this.#clock.after(at - now + 1, () => this.#begin());
  }

  #became(reason: string | undefined): void {
    if (reason === this.#reason) return;
    const worked = this.works;
    this.#reason = reason;
    if (reason !== undefined)
      this.#log.warn(
        `two tiers cannot be had, so only nodes with endpoints announce Services of policy Local: ${reason}`,
      );
    if (worked !== this.works) this.#onWorks();
  }

  #look(): void {
    if (this.#closed) return;
    this.#cancelLook = this.#clock.after(LOOK_MS, () => this.#look());
    if (this.#writing || this.#wish === undefined) return;
    // Slots forget in time, too.
    this.#tables.areAltered().then(
      () => this.#begin(),
      (error: unknown) => this.#log.warn(`the tables of both tiers cannot be looked at: ${messageOf(error)}`),
    );
  }
}

function addressesOf(
  names: ReadonlySet<string>,
  nodes: ReadonlyMap<string, TierNode>,
): ReadonlyMap<string, IpAddress> {
  return new Map(
    [...names].flatMap((name) => {
      const { IPv4, IPv6 } = nodes.get(name)?.addresses ?? {};
      const address = IPv4 ?? IPv6;
      return address === undefined ? [] : [[name, address] as const];
    }),
  );
}
