/**
 * The table that hands first packets to service ports that sleep to the program that holds them (docs/first-packet.md). It stands
 * before the rules of the mode, which refuse such packets where nobody holds them.
 */
import { IS_FIRST, queueTo } from '../../kernel/nftables/queueing.js';
import { goTo, type Rule } from '../../kernel/nftables/statements.js';
import type { ChainSpec } from '../../kernel/nftables/Transaction.js';
import { type NodePortAddresses, nodePortRanges } from '../../net/nodePortAddresses.js';
import { isHeld } from '../../routing/waking.js';
import { placeElements, placeSets, type QueueSettings, toQueue } from '../choice/choiceSets.js';
import type { KeyTableContent } from '../family/KeyTable.js';

/** The name of the table in each family. */
export const HOLD_TABLE = 'penstock-wake';

/** Behind connection tracking (-200), before the table that has endpoints chosen (-110) and the NAT of every mode. */
const PRIORITY = -111;

export interface HoldOptions {
  /** Those of the node itself wake as well. */
  readonly ownPackets: boolean;
  readonly nodePortAddresses: NodePortAddresses;
}

export function holdContent(options: HoldOptions): KeyTableContent<QueueSettings> {
  return {
    name: HOLD_TABLE,
    sets: placeSets,
    chains: (settings) => holdChains(settings, options),
    elements: (port) => (isHeld(port) ? placeElements(port) : []),
  };
}

function holdChains(
  { family, queue, by, nodeAddress }: QueueSettings,
  { ownPackets, nodePortAddresses }: HoldOptions,
): readonly ChainSpec[] {
  const ranges = nodePortRanges(nodePortAddresses, family, nodeAddress);
  // An established connection costs one comparison.
  const holding: readonly Rule[] = [[IS_FIRST, goTo('hold')]];
  const hook = (name: 'prerouting' | 'output') =>
    ({ type: 'filter', hook: name, priority: PRIORITY }) as const;
  return [
    { name: 'hold', rules: toQueue(family, queueTo(queue, by), ranges) },
    { name: 'arriving', hook: hook('prerouting'), rules: holding },
    ...(ownPackets ? [{ name: 'own', hook: hook('output'), rules: holding }] : []),
  ];
}
