/**
 * Leaves the node to another proxy. The agent serves on until the other's rules lead every client to where ours do; then it ends its
 * syncs, removes its rules in one go, and idles. It serves again when it is no longer asked to leave.
 */
import type { Logger } from 'pino';
import { compareRules } from '../../compare/compareRules.js';
import { lossesOf } from '../../compare/losses.js';
import { modeOf, type RuleTexts, readRules } from '../../compare/readRules.js';
import type { NodeConfig } from '../../config/NodeConfig.js';
import { messageOf } from '../../errors.js';
import type { Mode } from '../../explain/World.js';
import { rulesOf, worldOf } from '../../explain/worldOf.js';
import { IP_FAMILIES, type IpAddress } from '../../net/ip.js';
import type { EventRecorder } from '../../observe/events/EventRecorder.js';
import { leaving, left } from '../../observe/events/occurrences.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { Clock } from '../../time/Clock.js';

export type DepartureState =
  | { readonly type: 'serving' }
  /** `why`: what the other proxy lacks. */
  | { readonly type: 'waiting'; readonly asked: string; readonly why: string }
  | { readonly type: 'left'; readonly successor: string };

export interface DepartureOptions {
  readonly config: NodeConfig;
  /** The configuration as it would be in another mode. */
  readonly inMode: (mode: Mode) => NodeConfig;
  readonly table: RoutingTable;
  /** Whether the table has everything that there is: before, nobody can say what another proxy lacks. */
  readonly isComplete: () => boolean;
  readonly hostAddresses: () => readonly IpAddress[];
  /** Whether `penstock leave` was called on this node. */
  readonly hasNote: () => boolean;
  /** The rules of the other proxy. `areShared`: of chains that are ours too. Rejects when there are none, or they cannot be read. */
  readonly readOther: (own: Mode, areShared: boolean) => Promise<RuleTexts>;
  /** Modes with chains of kube-proxy's names: what others write into them is not repaired any more. */
  readonly holdRepairs: () => void;
  /** Modes with chains of kube-proxy's names: whether somebody else writes them now. */
  readonly chainsAreTheirs: () => Promise<boolean>;
  readonly stay: () => Promise<void>;
  /** Ends the syncs, removes our rules, lets go of ports. Rejects with why something is left; is then called again. */
  readonly leave: (theirs: Mode) => Promise<void>;
  /** The agent is to serve again: another one is to be started. */
  readonly serveAgain: () => void;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** Milliseconds. */
const LOOK_EVERY_MS = 1000;
/** To look at rules may take long on a node with many Services: at most this part of the time is spent with it. */
const LOOKING_SHARE = 0.25;

export class Departure {
  readonly #options: DepartureOptions;
  #state: DepartureState = { type: 'serving' };
  /** The syncs have ended, or are about to: this agent serves no more. */
  #hasBegun = false;
  #cancel: () => void = () => {};
  #looking: Promise<void> = Promise.resolve();
  /** On the clock: until then the other's rules are not looked at again. */
  #notBefore = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: DepartureOptions) {
    this.#options = options;
  }

  get state(): DepartureState {
    return this.#state;
  }

  /** From now on. */
  start(): void {
    this.#scheduleLook();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#looking;
  }

  /** Before the first sync, with a complete table: whether another proxy serves already and nothing is to be written. */
  async isOver(): Promise<boolean> {
    if (this.#asked() === undefined) return false;
    await this.#lookAlone();
    return this.#state.type === 'left';
  }

  /** Who asks; undefined: nobody. */
  #asked(): string | undefined {
    const { config, table, hasNote } = this.#options;
    if (config.leave) return 'penstock.leave is set';
    if (hasNote()) return 'penstock leave was called';
    return table.nodeObject?.leave ? 'its Node has the label penstock.io/leave' : undefined;
  }

  #scheduleLook(): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(LOOK_EVERY_MS, () => {
      void this.#lookAlone().finally(() => this.#scheduleLook());
    });
  }

  /** One after the other. Never rejects. */
  #lookAlone(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#look());
    return this.#looking;
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { config, log, events, serveAgain, stay } = this.#options;
    const asked = this.#asked();
    if (this.#state.type === 'left' && asked !== undefined) return;
    // Without syncs nobody goes on, whatever of the rules is left.
    if (this.#hasBegun && asked === undefined) {
      log.info('no longer asked to leave: penstock serves this node again');
      this.#stopped = true;
      serveAgain();
      return;
    }
    if (asked === undefined) {
      if (this.#state.type === 'serving') return;
      this.#state = { type: 'serving' };
      log.info('no longer asked to leave: penstock goes on');
      await stay().catch((error) => log.warn(`a rule that waits may be left: ${messageOf(error)}`));
      return;
    }
    if (this.#state.type === 'serving') {
      log.info(`leaving (${asked}): waiting until the rules of another proxy are in force`);
      events.record(leaving(config.nodeName, asked));
      this.#state = { type: 'waiting', asked, why: 'looking' };
    }
    const { clock } = this.#options;
    const started = clock.now();
    if (started < this.#notBefore) return;
    await this.#tryToLeave(asked);
    this.#notBefore = started + (clock.now() - started) / LOOKING_SHARE;
  }

  async #tryToLeave(asked: string): Promise<void> {
    const { config, isComplete, log, events, leave } = this.#options;
    if (!isComplete()) {
      this.#wait(asked, 'the Services have not all been read yet');
      return;
    }
    try {
      const { why, successor, theirs } = await this.#successor();
      if (why !== undefined || successor === undefined) {
        this.#wait(asked, why ?? '');
        return;
      }
      this.#hasBegun = true;
      await leave(theirs);
      this.#state = { type: 'left', successor };
      events.record(left(config.nodeName, successor));
      log.info(`left: ${successor} serves this node, our rules are removed, idling`);
    } catch (error) {
      this.#wait(asked, messageOf(error));
    }
  }

  #wait(asked: string, why: string): void {
    if (this.#state.type === 'waiting' && this.#state.why === why) return;
    this.#state = { type: 'waiting', asked, why };
    this.#options.log.info(`leaving: still waiting: ${why}`);
  }

  /** `why` it cannot be left to them yet. */
  async #successor(): Promise<{ why?: string; successor?: string; theirs: Mode }> {
    const { config, inMode, table, hostAddresses, readOther, holdRepairs, chainsAreTheirs } = this.#options;
    const own: Mode = config.mode || 'nftables';
    const hasSharedChains = own === 'iptables' || own === 'ipvs';
    if (hasSharedChains) holdRepairs();
    const areShared = hasSharedChains && (await chainsAreTheirs());
    const texts = await readOther(own, areShared);
    const theirs = modeOf(texts);
    const world = worldOf(table, config.serviceProxyName, hostAddresses());
    const rules = rulesOf(inMode(theirs), world);
    const other = readRules(texts, world, rules);
    const missing = IP_FAMILIES.find(
      (family) => table.servicePorts(family).size > 0 && !other.families.includes(family),
    );
    if (missing !== undefined) return { why: `${other.title} has no rules for ${missing}`, theirs };
    const [first, ...more] = lossesOf(compareRules(world, rules, other));
    if (first === undefined) return { successor: other.title, theirs };
    return { why: `${other.title}: ${first}${more.length > 0 ? `, and ${more.length} more` : ''}`, theirs };
  }
}
