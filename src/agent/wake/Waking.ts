/**
 * What follows from first packets that wait, and from Services that are idle: it is told (log, Events, a webhook), units of systemd
 * that the configuration lists are started and stopped, and workloads get their first replica if the configuration says so. An
 * annotation alone starts nothing.
 */
import type { Logger } from 'pino';
import type { NodeConfig } from '../../config/NodeConfig.js';
import type { WakeListener } from '../../dataplane/wake/Holder.js';
import type { EventRecorder } from '../../observe/events/EventRecorder.js';
import { wakeTimedOut, wakeWanted, wentIdle } from '../../observe/events/occurrences.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { readWake, targetText, type WakeTarget } from '../../routing/waking.js';
import type { Clock } from '../../time/Clock.js';
import { Errands } from './Errands.js';
import type { Post } from './postJson.js';
import type { ScaleWorkload } from './scaleWorkload.js';
import type { Systemctl } from './systemctl.js';

export interface WakingOptions {
  /** Name of this node. */
  readonly node: string;
  readonly config: Pick<NodeConfig['wake'], 'units' | 'webhook'>;
  readonly systemctl: Systemctl;
  readonly post: Post;
  /** Undefined: agents do not write replicas. */
  readonly scale: ScaleWorkload | undefined;
  /** Whether this node tells for all nodes. Absent: each tells for itself. */
  readonly leads?: () => boolean;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** Ports and families of one Service ask together. Milliseconds. */
const TOGETHER = 1000;

type Happening = 'wake' | 'timeout' | 'idle';

export class Waking implements WakeListener {
  readonly #options: WakingOptions;
  /** Last time of each `what namespace/name`, in that order. */
  readonly #told = new Map<string, number>();
  readonly #errands = new Errands();
  /** Somebody found no room, and it was said. */
  #isCrowded = false;

  constructor(options: WakingOptions) {
    this.#options = options;
  }

  wanted(port: ServicePort): void {
    if (!this.#isFirst('wake', port) || !this.#hasRoom()) return;
    const { node, events, log } = this.#options;
    log.info(`Service ${pathOf(port)}: a connection waits for an endpoint; ${whomOf(port)} should start`);
    events.record(wakeWanted(pathOf(port), whomOf(port), node));
    this.#errands.run(() => this.#tell('wake', port));
    this.#errands.run(() => this.#start(port));
  }

  timedOut(port: ServicePort): void {
    if (!this.#isFirst('timeout', port) || !this.#hasRoom()) return;
    const { node, events, log } = this.#options;
    const whom = whomOf(port);
    log.warn(
      `Service ${pathOf(port)}: connections waited in vain for an endpoint; did ${whom} start, and is it ready?`,
    );
    events.record(wakeTimedOut(pathOf(port), whom, node));
    this.#errands.run(() => this.#tell('timeout', port));
  }

  /** It had no connection for as long as its annotation idle-after says. */
  idle(port: ServicePort): void {
    if (!this.#hasRoom()) return;
    // Whoever comes from now on wakes it again.
    this.#told.delete(`wake ${pathOf(port)}`);
    const { leads } = this.#options;
    if (leads === undefined || leads()) this.#tellIdle(port);
    const target = readWake(port.options).wake?.target;
    // Replicas are taken away by whoever owns them: other nodes may have connections.
    if (target?.kind === 'unit') this.#errands.run(() => this.#order('stop', target, port));
  }

  #tellIdle(port: ServicePort): void {
    const { node, events, log } = this.#options;
    log.info(`Service ${pathOf(port)}: no connection for its idle-after; ${whomOf(port)} may sleep`);
    events.record(wentIdle(pathOf(port), whomOf(port), node));
    this.#errands.run(() => this.#tell('idle', port));
  }

  #isFirst(what: Happening, port: ServicePort): boolean {
    const now = this.#options.clock.now();
    for (const [name, at] of this.#told) {
      if (now - at < TOGETHER) break;
      this.#told.delete(name);
    }
    const name = `${what} ${pathOf(port)}`;
    if (this.#told.has(name)) return false;
    this.#told.set(name, now);
    return true;
  }

  /** Whoever finds none is heard again: in ten seconds, or when it was idle once more. */
  #hasRoom(): boolean {
    const { hasRoom } = this.#errands;
    if (!hasRoom && !this.#isCrowded)
      this.#options.log.warn(
        'more Services want to wake or sleep than can be asked for: others are asked for later',
      );
    this.#isCrowded = !hasRoom;
    return hasRoom;
  }

  async #tell(event: Happening, port: ServicePort): Promise<void> {
    const { config, post, node, log } = this.#options;
    if (config.webhook === '') return;
    const { namespace, service } = port;
    const target = readWake(port.options).wake?.target;
    const failure = await post(config.webhook, {
      event,
      namespace,
      service,
      target: target === undefined ? null : targetText(target),
      node,
    });
    if (failure !== undefined)
      log.warn(`penstock.wake.webhook was not told of Service ${pathOf(port)} (${event}): ${failure}`);
  }

  async #start(port: ServicePort): Promise<void> {
    const { scale, log } = this.#options;
    const target = readWake(port.options).wake?.target;
    if (target?.kind === 'unit') return this.#order('start', target, port);
    if (target === undefined || scale === undefined) return;
    const failure = await scale(port.namespace, target);
    if (failure !== undefined)
      log.warn(`Service ${pathOf(port)}: ${targetText(target)} was not given a replica: ${failure}`);
  }

  async #order(verb: 'start' | 'stop', { name }: WakeTarget, port: ServicePort): Promise<void> {
    const { config, systemctl, log } = this.#options;
    if (!config.units.includes(name)) {
      log.warn(
        `Service ${pathOf(port)}: ${name} is not to be ${verb === 'start' ? 'started' : 'stopped'}: list it in penstock.wake.units if it is`,
      );
      return;
    }
    const failure = await systemctl(verb, name);
    if (failure !== undefined)
      log.warn(`Service ${pathOf(port)}: systemctl ${verb} ${name} failed: ${failure}`);
  }
}

function pathOf({ namespace, service }: ServicePort): string {
  return `${namespace}/${service}`;
}

function whomOf({ options }: ServicePort): string {
  return targetText(readWake(options).wake?.target);
}
