/** The rules of all service ports of one family that are in force: what we wrote, so that nobody has to ask the kernel. */
import type { RuleCounts } from '../rules/RuleCounts.js';
import type { RenderedServicePort, SharedChain } from '../rules/renderServicePort.js';
import { SharedRules } from '../rules/SharedRules.js';

/** From what is in force to what shall be. */
export interface RuleDelta {
  /** ServicePort.key */
  readonly key: string;
  readonly before: RenderedServicePort | undefined;
  readonly after: RenderedServicePort | undefined;
}

export const SHARED_CHAINS: readonly SharedChain[] = [
  'filter KUBE-SERVICES',
  'filter KUBE-EXTERNAL-SERVICES',
  'filter KUBE-NODEPORTS',
  'filter KUBE-PROXY-FIREWALL',
  'nat KUBE-SERVICES',
  'nat KUBE-NODEPORTS',
];

export class RuleSet {
  readonly #ports = new Map<string, RenderedServicePort>();
  readonly #shared: Readonly<Record<SharedChain, SharedRules>> = {
    'filter KUBE-SERVICES': new SharedRules(),
    'filter KUBE-EXTERNAL-SERVICES': new SharedRules(),
    'filter KUBE-NODEPORTS': new SharedRules(),
    'filter KUBE-PROXY-FIREWALL': new SharedRules(),
    'nat KUBE-SERVICES': new SharedRules(),
    'nat KUBE-NODEPORTS': new SharedRules(),
  };

  /** Rules per table that were counted. */
  readonly #counted = { filter: 0, nat: 0 };
  /** What came and went since. Counting makes the text of chains, which must not hold up a sync. */
  #uncounted: { readonly rendered: RenderedServicePort; readonly sign: 1 | -1 }[] = [];

  get size(): number {
    return this.#ports.size;
  }

  get(key: string): RenderedServicePort | undefined {
    return this.#ports.get(key);
  }

  entries(): Iterable<readonly [key: string, rendered: RenderedServicePort]> {
    return this.#ports;
  }

  shared(chain: SharedChain): SharedRules {
    return this.#shared[chain];
  }

  /** How many rules the service ports have in each table. */
  get counts(): RuleCounts {
    for (const { rendered, sign } of this.#uncounted) {
      this.#counted.nat += sign * rendered.ownRules;
      for (const { chain } of rendered.shared) this.#counted[splitShared(chain)[0]] += sign;
    }
    this.#uncounted = [];
    return { ...this.#counted };
  }

  /** Records what has been written. */
  apply(deltas: Iterable<RuleDelta>): void {
    for (const { key, before, after } of deltas) {
      if (before) this.#uncounted.push({ rendered: before, sign: -1 });
      if (after) this.#uncounted.push({ rendered: after, sign: 1 });
      if (after) this.#ports.set(key, after);
      else this.#ports.delete(key);
      for (const { chain } of before?.shared ?? []) this.#shared[chain].set(key, sharedRulesOf(after, chain));
      for (const { chain } of after?.shared ?? []) this.#shared[chain].set(key, sharedRulesOf(after, chain));
    }
  }
}

/** `nat KUBE-SERVICES` → `['nat', 'KUBE-SERVICES']` */
export function splitShared(shared: SharedChain): ['filter' | 'nat', string] {
  return shared.split(' ') as ['filter' | 'nat', string];
}

/** The rules that a service port has in a shared chain, without `-A chain`. */
export function sharedRulesOf(
  rendered: RenderedServicePort | undefined,
  chain: SharedChain,
): readonly string[] {
  return rendered?.shared.filter((r) => r.chain === chain).map((r) => r.rule) ?? [];
}
