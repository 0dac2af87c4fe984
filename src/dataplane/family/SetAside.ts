/**
 * What the kernel refused, service ports above all: set aside so that everything else is served, reported, and tried again
 * when it changes, or after a while that doubles with each refusal.
 */
import { objectName } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { Milliseconds } from '../../time/duration.js';

const LONGEST_RETRY_MS: Milliseconds = 3_600_000;

export interface SetAsideOptions {
  /** The first retry comes after this time, each further one after twice the time before, at most an hour. */
  readonly retryMs: Milliseconds;
  /** What becomes of the service port meanwhile, if anything of it is left: `its last good rules stay`. */
  readonly meanwhile?: string;
}

interface Refusal {
  readonly problem: Problem;
  readonly attempts: number;
  /** Milliseconds on the caller's clock. */
  readonly retryAt: Milliseconds;
  /** False while a new attempt is being made. */
  waiting: boolean;
}

export class SetAside {
  readonly #refusals = new Map<string, Refusal>();
  readonly #retryMs: Milliseconds;
  readonly #meanwhile: string;

  constructor({ retryMs, meanwhile }: SetAsideOptions) {
    this.#retryMs = retryMs;
    this.#meanwhile = meanwhile === undefined ? ',' : `, ${meanwhile};`;
  }

  /** `why`: what the kernel said. `retryMs`: until the first retry, where it is not the usual time. */
  addServicePort(port: ServicePort, why: string, now: Milliseconds, retryMs = this.#retryMs): void {
    const what = `port ${port.portName || port.port}/${port.protocol} (${port.family})`;
    const subject = objectName({ kind: 'Service', namespace: port.namespace, name: port.service });
    const again = shortTime(this.#delay(port.key, retryMs));
    const message =
      `${what} is set aside${this.#meanwhile} all others are programmed. ${why}. ` +
      `Tried again in ${again} and whenever the Service or its endpoints change`;
    this.add(port.key, { subject, message }, now, retryMs);
  }

  /** Of what is no service port: a key of its own that no service port has. */
  add(key: string, problem: Problem, now: Milliseconds, retryMs = this.#retryMs): void {
    const attempts = (this.#refusals.get(key)?.attempts ?? 0) + 1;
    const retryAt = now + this.#delay(key, retryMs);
    this.#refusals.set(key, { problem, attempts, retryAt, waiting: true });
  }

  #delay(key: string, retryMs: Milliseconds): Milliseconds {
    return Math.min(retryMs * 2 ** (this.#refusals.get(key)?.attempts ?? 0), LONGEST_RETRY_MS);
  }

  /** It was refused, and its time has not come. */
  isWaiting(key: string): boolean {
    return this.#refusals.get(key)?.waiting ?? false;
  }

  /** Without those that wait. */
  accepted(ports: ReadonlyMap<string, ServicePort>): Iterable<ServicePort> {
    if (this.#refusals.size === 0) return ports.values();
    return [...ports.values()].filter(({ key }) => !this.isWaiting(key));
  }

  /**
   * What changed is tried again as it is now: its refusal is history. The changes as they are to be written where nothing
   * of a refused service port is in the kernel: such a change begins with nothing.
   */
  rebase(changes: readonly ServicePortChange[]): readonly ServicePortChange[] {
    if (this.#refusals.size === 0) return changes;
    return changes.map((change) =>
      this.#refusals.delete(change.key) ? { ...change, before: undefined } : change,
    );
  }

  /** Those whose time has come, until they are accepted or refused again; they no longer wait. */
  due(now: Milliseconds): string[] {
    const due: string[] = [];
    for (const [key, refusal] of this.#refusals) {
      if (refusal.retryAt > now) continue;
      refusal.waiting = false;
      due.push(key);
    }
    return due;
  }

  /** Everything that was tried has been accepted. */
  confirm(): void {
    for (const [key, refusal] of this.#refusals) if (!refusal.waiting) this.#refusals.delete(key);
  }

  problems(): Problem[] {
    return [...this.#refusals.values()].map(({ problem }) => problem);
  }
}

function shortTime(delay: Milliseconds): string {
  const seconds = Math.round(delay / 1000);
  return seconds >= 120 ? `${Math.round(seconds / 60)} min` : `${seconds} s`;
}
