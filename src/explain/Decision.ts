/** What becomes of the first packet of a flow, before anybody has put it into words. */
import type { Wake } from '../routing/waking.js';
import type { AddressKind, Candidate, Claims } from './claims.js';
import type { KnownEndpoint } from './endpoints.js';

/** Every reason there is: docs/see.md has a chapter for each. */
export type Reason =
  | 'forwarded'
  | 'asleep'
  | 'no-endpoints'
  | 'no-local-endpoints'
  | 'source-range'
  | 'unknown-port'
  | 'no-such-cluster-ip'
  | 'protocol-not-served'
  | 'node-port-not-here'
  | 'localhost-node-port'
  | 'own-address'
  | 'node-sends-elsewhere'
  | 'no-service'
  /** What endpoints do; the flow log tells of it, explain() does not know. */
  | 'endpoint-refused'
  | 'endpoint-silent';

/** Of rules. */
export type RefusalReason = Exclude<Reason, 'forwarded' | 'asleep' | 'endpoint-refused' | 'endpoint-silent'>;

export interface Masquerade {
  readonly applies: boolean;
  /** Ends a sentence that begins with "because". */
  readonly because: string;
}

export type Verdict =
  | {
      readonly type: 'forward';
      readonly policy: 'Cluster' | 'Local';
      readonly endpoints: readonly KnownEndpoint[];
      readonly masquerade: Masquerade;
      /** The share (0..1) of each node, where two tiers choose the node first; absent: endpoints are chosen by their weights alone. */
      readonly nodeShares?: ReadonlyMap<string, number>;
    }
  /** It waits until somebody serves. */
  | { readonly type: 'hold'; readonly reason: 'asleep'; readonly wake: Wake }
  | { readonly type: 'reject' | 'drop' | 'pass'; readonly reason: RefusalReason };

export interface Decision {
  readonly verdict: Verdict;
  /** Who decided it: undefined when no Service did. */
  readonly winner: Candidate | undefined;
  readonly kind: AddressKind | undefined;
  readonly claims: Claims;
}

export interface Destination {
  readonly target: string;
  /** Of each endpoint, because of hairpin. */
  readonly masquerade: boolean;
  readonly chance: number;
}

/** For tests: NONE is a packet that is not touched, HOLD one that waits. */
export type Outcome = 'REJECT' | 'DROP' | 'NONE' | 'HOLD' | readonly Destination[];

export function forward(
  endpoints: readonly KnownEndpoint[],
  policy: 'Cluster' | 'Local',
  masquerade: Masquerade,
): Verdict {
  return { type: 'forward', endpoints, policy, masquerade };
}

export function refuse(type: 'reject' | 'drop' | 'pass', reason: RefusalReason): Verdict {
  return { type, reason };
}

export function hold(wake: Wake): Verdict {
  return { type: 'hold', reason: 'asleep', wake };
}
