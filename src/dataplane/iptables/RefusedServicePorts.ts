/** The service ports whose rules iptables refused: why, and when each is tried again. */
import type { RestoreError } from '../../kernel/xtables/RestoreError.js';
import { objectName } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import type { ServicePort } from '../../routing/ServicePort.js';

interface Refusal {
  readonly problem: Problem;
  readonly attempts: number;
  /** Milliseconds on the caller's clock. */
  readonly retryAt: number;
  /** False while a new attempt is being made. */
  waiting: boolean;
}

const LONGEST_RETRY_MS = 3_600_000;

export class RefusedServicePorts {
  readonly #refusals = new Map<string, Refusal>();
  readonly #retryMs: number;

  /** The first retry comes after `retryMs`, each further one after twice the time, at most an hour. */
  constructor(retryMs: number) {
    this.#retryMs = retryMs;
  }

  add(key: string, port: ServicePort, error: RestoreError, now: number): void {
    const attempts = (this.#refusals.get(key)?.attempts ?? 0) + 1;
    const delay = Math.min(this.#retryMs * 2 ** (attempts - 1), LONGEST_RETRY_MS);
    const what = `port ${port.portName || port.port}/${port.protocol} (${port.family})`;
    const message =
      `${what} is set aside, its last good rules stay; all others are programmed. ${error.message}. ` +
      `Tried again in ${Math.round(delay / 1000)} s and whenever the Service or its endpoints change`;
    const subject = objectName({ kind: 'Service', namespace: port.namespace, name: port.service });
    this.#refusals.set(key, { problem: { subject, message }, attempts, retryAt: now + delay, waiting: true });
  }

  isWaiting(key: string): boolean {
    return this.#refusals.get(key)?.waiting ?? false;
  }

  /** The object changed: whatever was refused is history. */
  forget(key: string): void {
    this.#refusals.delete(key);
  }

  /** Those whose time has come; they no longer wait. */
  *due(now: number): Iterable<string> {
    for (const [key, refusal] of this.#refusals) {
      if (!refusal.waiting || refusal.retryAt > now) continue;
      refusal.waiting = false;
      yield key;
    }
  }

  /** Everything that was tried has been accepted. */
  confirm(): void {
    for (const [key, refusal] of this.#refusals) if (!refusal.waiting) this.#refusals.delete(key);
  }

  problems(): Problem[] {
    return [...this.#refusals.values()].map((refusal) => refusal.problem);
  }
}
