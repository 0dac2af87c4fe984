/** Checks of nodes' ports, each made once however many Services need it. */
import type { Clock } from '../../time/Clock.js';
import { limited } from '../checks/connectOnce.js';
import { type Connect, EndpointCheck } from '../checks/EndpointCheck.js';
import type { CheckSettings } from '../checks/readHealthCheck.js';
import type { CheckTarget } from './nodePortObjects.js';

export interface NodeChecksOptions {
  readonly clock: Clock;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  readonly connect: Readonly<Record<CheckTarget['by'], Connect>>;
  /** What is known of a target has changed: `namespace/name` of those that use it. */
  readonly onChange: (users: Iterable<string>) => void;
}

/** `why`: the answer, or what came in its place. */
export type CheckState =
  | { readonly type: 'unknown' }
  | { readonly type: 'passes' }
  | { readonly type: 'fails'; readonly why: string }
  | { readonly type: 'not checked' };

/** More are not made: checks are work and packets without end. */
export const MOST_CHECKS = 2000;
/** A node that answers nothing must not take the turns of the others. */
const MOST_AT_ONCE_A_NODE = 128;

interface Checked {
  readonly check: EndpointCheck;
  readonly address: string;
  readonly users: Set<string>;
}

export class NodeChecks {
  readonly #options: NodeChecksOptions;
  readonly #checks = new Map<string, Checked>();
  readonly #ofUser = new Map<string, ReadonlySet<string>>();
  /** By address. */
  readonly #lanes = new Map<string, { readonly connect: NodeChecksOptions['connect']; checks: number }>();

  constructor(options: NodeChecksOptions) {
    this.#options = options;
  }

  /** From now on the user needs these, and no others. */
  use(user: string, targets: readonly CheckTarget[], settings: CheckSettings): void {
    const wanted = new Set<string>();
    for (const target of targets) {
      const key = keyOf(target, settings);
      wanted.add(key);
      const known = this.#checks.get(key);
      if (known) known.users.add(user);
      else if (this.hasRoom) this.#begin(key, target, settings, user);
    }
    for (const key of this.#ofUser.get(user) ?? []) if (!wanted.has(key)) this.#leave(key, user);
    if (wanted.size > 0) this.#ofUser.set(user, wanted);
    else this.#ofUser.delete(user);
  }

  /** For one more, at least. */
  get hasRoom(): boolean {
    return this.#checks.size < MOST_CHECKS;
  }

  state(target: CheckTarget, settings: CheckSettings): CheckState {
    const check = this.#checks.get(keyOf(target, settings))?.check;
    if (check === undefined) return { type: 'not checked' };
    if (!check.known) return { type: 'unknown' };
    return check.failure === undefined ? { type: 'passes' } : { type: 'fails', why: check.failure };
  }

  /** Of every target something is known. */
  get settled(): boolean {
    for (const { check } of this.#checks.values()) if (!check.known) return false;
    return true;
  }

  stop(): void {
    for (const { check } of this.#checks.values()) check.stop();
    this.#checks.clear();
    this.#ofUser.clear();
    this.#lanes.clear();
  }

  #begin(key: string, { by, address, port }: CheckTarget, check: CheckSettings, user: string): void {
    const { clock, random, onChange } = this.#options;
    const lane = this.#lanes.get(address) ?? { connect: this.#limitedConnect(), checks: 0 };
    this.#lanes.set(address, lane);
    lane.checks++;
    const users = new Set([user]);
    const made = new EndpointCheck({
      address,
      port,
      check,
      connect: lane.connect[by],
      onChange: () => onChange(users),
      clock,
      random,
      first: 'decides',
    });
    this.#checks.set(key, { check: made, address, users });
  }

  #limitedConnect(): NodeChecksOptions['connect'] {
    const { connect } = this.#options;
    return {
      connects: limited(connect.connects, MOST_AT_ONCE_A_NODE),
      'answers 200': limited(connect['answers 200'], MOST_AT_ONCE_A_NODE),
    };
  }

  #leave(key: string, user: string): void {
    const checked = this.#checks.get(key);
    if (checked === undefined) return;
    checked.users.delete(user);
    if (checked.users.size > 0) return;
    checked.check.stop();
    this.#checks.delete(key);
    const lane = this.#lanes.get(checked.address);
    if (lane !== undefined && --lane.checks === 0) this.#lanes.delete(checked.address);
  }
}

function keyOf({ by, address, port }: CheckTarget, { interval, timeout, rise, fall }: CheckSettings): string {
  return `${by} ${address} ${port} ${interval} ${timeout} ${rise} ${fall}`;
}
