/**
 * The table that sends connections to service ports that sleep to the program that accepts them (docs/first-packet.md). It comes before
 * the NAT of the mode, which does not see them then.
 */
import { destinationNatTo } from '../../kernel/nftables/queueing.js';
import { goTo, type Rule } from '../../kernel/nftables/statements.js';
import type { IpAddress, IpFamily } from '../../net/ip.js';
import { nodePortRanges } from '../../net/nodePortAddresses.js';
import { isAccepting } from '../../routing/waking.js';
import { placeElements, placeRules, placeSets } from '../choice/choiceSets.js';
import type { KeyTableContent } from '../family/KeyTable.js';
import type { HoldOptions } from './holdSets.js';

/** The name of the table in each family. */
export const ACCEPT_TABLE = 'penstock-accept';

/** Before the NAT chains of every mode (-105 to -95). */
const PRIORITY = -106;

export interface AcceptSettings {
  readonly family: IpFamily;
  /** Where connections are accepted. */
  readonly address: IpAddress;
  readonly port: number;
  /** Of this node, in the family. */
  readonly nodeAddress: IpAddress | undefined;
}

export interface AcceptReport {
  /** Service ports whose connections are accepted now. */
  readonly asleep: number;
  /** Connections that ever were. */
  readonly accepted: number;
  /** Of these, those that waited in vain or found no endpoint that answers. */
  readonly failed: number;
  /** Now. */
  readonly active: number;
}

export function acceptContent({
  ownPackets,
  nodePortAddresses,
}: HoldOptions): KeyTableContent<AcceptSettings> {
  return {
    name: ACCEPT_TABLE,
    sets: placeSets,
    chains: ({ family, address, port, nodeAddress }) => {
      const ranges = nodePortRanges(nodePortAddresses, family, nodeAddress);
      // Chains of NAT see the first packet of a connection only.
      const accepting: readonly Rule[] = [[goTo('accept')]];
      const hook = (name: 'prerouting' | 'output') =>
        ({ type: 'nat', hook: name, priority: PRIORITY }) as const;
      return [
        { name: 'accept', rules: placeRules(family, destinationNatTo(family, address, port), ranges) },
        { name: 'arriving', hook: hook('prerouting'), rules: accepting },
        ...(ownPackets ? [{ name: 'own', hook: hook('output'), rules: accepting }] : []),
      ];
    },
    elements: (port) => (isAccepting(port) ? placeElements(port) : []),
  };
}
