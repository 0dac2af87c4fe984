/** What a Service is told of its failed connections: an Event for the first of a reason in ten minutes. */
import { REASONS } from '../../explain/reasons.js';
import type { Occurrence } from '../events/KubernetesEvent.js';
import type { FlowRecord } from './FlowLog.js';
import { ownerOf } from './ownerOf.js';

const SILENCE_MS = 600_000;
/** Pairs of Service and reason that are remembered; beyond that nothing is told until some are forgotten. */
const MOST = 1000;

export class RefusalNotices {
  readonly #now: () => number;
  /** When each was told, the oldest first. */
  readonly #told = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Undefined when it was told already, or is no Service's. */
  of({
    service,
    reason,
    client,
    clientPod,
    destination,
    port,
    protocol,
    node,
    endpoint,
    endpointPod,
  }: FlowRecord): Occurrence | undefined {
    const owner = ownerOf(service);
    if (owner === undefined) return undefined;
    const { namespace, name } = owner;
    const now = this.#now();
    for (const [key, time] of this.#told) {
      if (now - time < SILENCE_MS) break;
      this.#told.delete(key);
    }
    const key = `${namespace}/${name} ${reason}`;
    if (this.#told.has(key) || this.#told.size >= MOST) return undefined;
    this.#told.set(key, now);
    const says = Object.hasOwn(REASONS, reason) ? REASONS[reason as keyof typeof REASONS].says : reason;
    const which = endpoint === '' ? '' : ` at ${endpointPod || endpoint}`;
    return {
      type: 'Warning',
      reason: 'ConnectionsFail',
      action: 'Refuse',
      note: `node ${node}: ${clientPod || client} could not reach ${destination} port ${port}/${protocol}: ${says}${which} (${reason})`,
      regarding: { apiVersion: 'v1', kind: 'Service', namespace, name },
    };
  }
}
