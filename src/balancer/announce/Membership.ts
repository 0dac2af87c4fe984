/** Who the other nodes are, from Leases or from the configuration: what the announcer needs of either. */
import type { IpAddress } from '../../net/ip.js';
import type { Clock } from '../../time/Clock.js';
import type { OwnFacts } from '../membership/LeaseMembership.js';
import type { Member, MembershipView } from '../membership/Member.js';

export interface MembershipHooks {
  /** Of this node. */
  readonly facts: () => OwnFacts;
  /** Names of the nodes whose heartbeats come in. */
  readonly heard: () => ReadonlySet<string>;
  readonly onView: (view: MembershipView) => void;
  /** Milliseconds of the responder's clock until which nobody may believe that this node is gone. */
  readonly onFresh: (until: number) => void;
  /** The responder's clock. */
  readonly now: () => number;
}

export interface MembershipHandle {
  /** From now on wishes may be made: before, nobody knows who lives. */
  readonly settled: boolean;
  factsChanged(): void;
  /** A heartbeat of the peer was heard, which was not heard before. */
  heard(peer: string): void;
  /** Tells the others that this node is no candidate any more. */
  leave(): Promise<void>;
  stop(): Promise<void>;
}

export type OpenMembership = (hooks: MembershipHooks) => MembershipHandle;

/** Milliseconds after which a node that lives has been heard: a few heartbeats. */
const SETTLE_MS = 1200;
/** The responder takes no later time. */
const FOREVER = 2 ** 52;

/** A node of the configuration. */
export interface ConfiguredNode {
  readonly name: string;
  readonly addresses: readonly IpAddress[];
}

/** Without a cluster: the nodes of the configuration; heartbeats alone say who lives. */
export function configuredMembership(
  node: string,
  nodes: readonly ConfiguredNode[],
  clock: Clock,
  onSettled: () => void,
): OpenMembership {
  return ({ facts, onView, onFresh }) => {
    const heard = new Set<string>();
    let settled = false;
    const tell = () => {
      const members = new Map(
        nodes
          .filter(({ name }) => name !== node)
          .map(({ name, addresses }): readonly [string, Member] => [
            name,
            {
              name,
              address: addresses[0],
              addresses,
              fresh: !settled || heard.has(name),
              macs: [],
              subnets: [],
              advertises: undefined,
            },
          ]),
      );
      onView({
        members: new Map([...members, [node, { ...facts(), name: node, fresh: true }]]),
        connected: true,
      });
    };
    // No Lease runs out here.
    onFresh(FOREVER);
    const cancel = clock.after(SETTLE_MS, () => {
      settled = true;
      tell();
      onSettled();
    });
    tell();
    return {
      get settled() {
        return settled;
      },
      factsChanged: tell,
      heard: (peer) => {
        if (heard.has(peer)) return;
        heard.add(peer);
        if (settled) tell();
      },
      leave: async () => {},
      stop: async () => cancel(),
    };
  };
}
