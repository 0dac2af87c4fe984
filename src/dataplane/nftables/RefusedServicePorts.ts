/**
 * Service ports that the kernel refuses: found, set aside so that all others are served, and tried again when they change
 * or after a while.
 */
import type { Transaction } from '../../kernel/nftables/Transaction.js';
import { objectName } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { NftablesSettings } from './desired/NftablesSettings.js';
import { planFull } from './plan/planFull.js';

/** Name of the table that is tried; it never comes to be. */
const PROBE_TABLE = 'penstock-probe';
/** More than this, and it is not the service ports that are at fault. */
const MOST = 64;
/** Milliseconds until a refused service port is tried again as it is. */
const RETRY_MS = 600_000;

/** Asks the kernel without changing anything: what it says, undefined when it would take it. */
export type Check = (transaction: Transaction) => Promise<Error | undefined>;

interface Refusal {
  readonly port: ServicePort;
  readonly message: string;
  readonly retryAt: number;
}

export class RefusedServicePorts {
  readonly #refusals = new Map<string, Refusal>();

  /**
   * Finds those of `ports` that the kernel refuses, in a fresh table that is never made. Returns how many: 0 when it takes
   * each of them, and when it refuses so many that the fault must be elsewhere.
   */
  async find(
    ports: readonly ServicePort[],
    settings: NftablesSettings,
    check: Check,
    now: number,
  ): Promise<number> {
    const found: Refusal[] = [];
    const search = async (list: readonly ServicePort[]): Promise<void> => {
      if (found.length > MOST) return;
      const { transaction } = await planFull(list, settings, undefined, PROBE_TABLE);
      const error = await check(transaction);
      if (error === undefined) return;
      const [port] = list;
      if (list.length > 1) {
        const half = list.length >>> 1;
        await search(list.slice(0, half));
        await search(list.slice(half));
      } else if (port) found.push({ port, message: error.message, retryAt: now + RETRY_MS });
    };
    // An empty table that is refused is nobody's fault among the service ports.
    const { transaction } = await planFull([], settings, undefined, PROBE_TABLE);
    if ((await check(transaction)) !== undefined) return 0;
    await search(ports);
    if (found.length > MOST) return 0;
    for (const refusal of found) this.#refusals.set(refusal.port.key, refusal);
    return found.length;
  }

  /** Without those that were refused as they are. */
  accepted(ports: ReadonlyMap<string, ServicePort>): Iterable<ServicePort> {
    if (this.#refusals.size === 0) return ports.values();
    return [...ports.values()].filter((port) => this.#refusals.get(port.key)?.port !== port);
  }

  /** What was refused is not in the kernel: a change of it begins with nothing. It is tried again then. */
  rebase(changes: readonly ServicePortChange[]): readonly ServicePortChange[] {
    if (this.#refusals.size === 0) return changes;
    return changes.map((change) =>
      this.#refusals.delete(change.key) ? { ...change, before: undefined } : change,
    );
  }

  /** Lets those try again whose time has come. True when there were any. */
  expire(now: number): boolean {
    const before = this.#refusals.size;
    for (const [key, { retryAt }] of this.#refusals) if (retryAt <= now) this.#refusals.delete(key);
    return this.#refusals.size < before;
  }

  problems(): Problem[] {
    return [...this.#refusals.values()].map(({ port, message }) => {
      const what = `port ${port.portName || port.port}/${port.protocol} (${port.family})`;
      return {
        subject: objectName({ kind: 'Service', namespace: port.namespace, name: port.service }),
        message:
          `${what} is set aside, all others are programmed. ${message}. Tried again in ` +
          `${RETRY_MS / 60_000} minutes and whenever the Service or its endpoints change`,
      };
    });
  }
}
