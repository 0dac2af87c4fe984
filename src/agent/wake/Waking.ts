/** Tells of first packets that wait for somebody who serves: in the log, and as Events of their Service. */
import type { Logger } from 'pino';
import type { WakeListener } from '../../dataplane/wake/Holder.js';
import type { EventRecorder } from '../../observe/events/EventRecorder.js';
import { wakeTimedOut, wakeWanted } from '../../observe/events/occurrences.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { readWake, targetText } from '../../routing/waking.js';

export interface WakingOptions {
  /** Name of this node. */
  readonly node: string;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

export class Waking implements WakeListener {
  readonly #options: WakingOptions;

  constructor(options: WakingOptions) {
    this.#options = options;
  }

  wanted(port: ServicePort): void {
    const { node, events, log } = this.#options;
    const whom = targetText(readWake(port.options).wake?.target);
    log.info(`Service ${pathOf(port)}: a connection waits for an endpoint; ${whom} should start`);
    events.record(wakeWanted(pathOf(port), whom, node));
  }

  timedOut(port: ServicePort): void {
    const { node, events, log } = this.#options;
    const whom = targetText(readWake(port.options).wake?.target);
    log.warn(
      `Service ${pathOf(port)}: connections waited in vain for an endpoint; did ${whom} start, and is it ready?`,
    );
    events.record(wakeTimedOut(pathOf(port), whom, node));
  }
}

function pathOf({ namespace, service }: ServicePort): string {
  return `${namespace}/${service}`;
}
