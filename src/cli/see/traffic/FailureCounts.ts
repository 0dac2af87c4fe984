/** Connections that failed since somebody began to look, by Service, as the running agent tells of them. */
import type { FlowRecord } from '../../../observe/flows/FlowLog.js';
import type { AgentClient } from '../AgentClient.js';

/** Of packets to addresses that are no Service's. */
const NO_SERVICE = '(no Service)';

export class FailureCounts {
  readonly #counts = new Map<string, number>();
  readonly #since: string;
  #isGone = false;

  /** `since`: ISO 8601; what failed before is not counted. */
  constructor(since: string) {
    this.#since = since;
  }

  /** Ends with `stop`, or with the agent. */
  static follow(agent: AgentClient, stop: AbortSignal): FailureCounts {
    const counts = new FailureCounts(new Date().toISOString());
    agent
      .follow('/v1/flows', (value) => counts.take(value as FlowRecord), stop)
      .catch(() => {
        counts.#isGone = true;
      });
    return counts;
  }

  /** The agent ended: nobody tells of failures any more. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** A record comes when it begins, with a count of 1, and again with its count when it is over. */
  take({ time, service, protocol, count }: FlowRecord): void {
    if (time < this.#since) return;
    const name = service === '' ? NO_SERVICE : `${service}/${protocol}`;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + (count > 1 ? count - 1 : 1));
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Of those with failures. */
  get names(): Iterable<string> {
    return this.#counts.keys();
  }
}
