/**
 * The table that hands first packets to service ports that sleep to the program that holds them (docs/first-packet.md). It stands
 * before the rules of the mode, which refuse such packets where nobody holds them.
 */
import {
  DESTINATION_PORT,
  FIELDS,
  type Field,
  SOURCE_PORT,
  vipFields,
} from '../../kernel/nftables/fields.js';
import { IS_FIRST, isOverLimit, noteIn, queueOrDrop, queueTo } from '../../kernel/nftables/queueing.js';
import { type SetSpec, typesOf } from '../../kernel/nftables/SetSpec.js';
import { DROP, goTo, inSet, isProtocol, type Rule } from '../../kernel/nftables/statements.js';
import type { ChainSpec } from '../../kernel/nftables/Transaction.js';
import type { IpFamily } from '../../net/ip.js';
import { type NodePortAddresses, nodePortRanges } from '../../net/nodePortAddresses.js';
import { isHeld } from '../../routing/waking.js';
import { placeElements, placeRules, placeSets, type QueueSettings } from '../choice/choiceSets.js';
import type { KeyTableContent } from '../family/KeyTable.js';

/** The name of the table in each family. */
export const HOLD_TABLE = 'penstock-wake';

/** Behind connection tracking (-200), before the table that has endpoints chosen (-110) and the NAT of every mode. */
const PRIORITY = -111;

/**
 * First packets to one address and port that leave the kernel: four times as many as can wait (native/hold/thread.cc, kMostPacketsOfOne)
 * at once, and a second as many as take the thread a tenth of a processor. So far above what can wait as the kernel does not know who may:
 * packets from outside of loadBalancerSourceRanges count here, and each datagram of a flow that waits already.
 */
const LIMIT = { rate: 10_000, burst: 4096, seconds: 10 } as const;
const CROWDS = 'crowds';
/** Addresses and ports that are counted at the same time, 3 MiB. Those that find no room have no limit. */
const MOST_CROWDS = 16_384;

/**
 * Connections that have come to wait, each for a minute. Where the program is gone, those are dropped, and TCP sends them again to the next
 * one; all others are refused at once, and a table that is left behind soon stops nobody.
 */
const WAITERS = 'waiters';
const WAITERS_SECONDS = 60;
/** Those that find no room are refused where the program is gone: 4 MiB. */
const MOST_WAITERS = 16_384;

export interface HoldOptions {
  /** Those of the node itself wake as well. */
  readonly ownPackets: boolean;
  readonly nodePortAddresses: NodePortAddresses;
}

export function holdContent(options: HoldOptions): KeyTableContent<QueueSettings> {
  return {
    name: HOLD_TABLE,
    sets: holdSets,
    chains: (settings) => holdChains(settings, options),
    elements: (port) => (isHeld(port) ? placeElements(port) : []),
  };
}

function holdSets(settings: QueueSettings): readonly SetSpec[] {
  const crowds: SetSpec = {
    name: CROWDS,
    key: { types: typesOf({ fields: vipFields(settings.family) }) },
    kind: 'dynamic',
    size: MOST_CROWDS,
  };
  const waiters: SetSpec = {
    name: WAITERS,
    key: { types: typesOf({ fields: connectionFields(settings.family) }) },
    kind: 'dynamic',
    size: MOST_WAITERS,
  };
  return [...placeSets(settings), waiters, ...(settings.unlimited ? [] : [crowds])];
}

function connectionFields(family: IpFamily): readonly Field[] {
  const { sourceAddress, destinationAddress } = FIELDS[family];
  return [sourceAddress, SOURCE_PORT, destinationAddress, DESTINATION_PORT];
}

function holdChains(
  { family, queue, by, unlimited, nodeAddress }: QueueSettings,
  { ownPackets, nodePortAddresses }: HoldOptions,
): readonly ChainSpec[] {
  const ranges = nodePortRanges(nodePortAddresses, family, nodeAddress);
  // An established connection costs one comparison.
  const holding: readonly Rule[] = [[IS_FIRST, goTo('hold')]];
  const connection = connectionFields(family);
  // Of UDP nobody sends again what is dropped.
  const again: Rule = [isProtocol('tcp'), inSet(connection, 'is', WAITERS), queueOrDrop(queue, by)];
  const noted: Rule = [isProtocol('tcp'), noteIn(WAITERS, connection, WAITERS_SECONDS)];
  const tooMany: Rule = [isOverLimit(CROWDS, vipFields(family), LIMIT), DROP];
  const hook = (name: 'prerouting' | 'output') =>
    ({ type: 'filter', hook: name, priority: PRIORITY }) as const;
  return [
    { name: 'wait', rules: [...(unlimited ? [] : [tooMany]), again, noted, [queueTo(queue, by)]] },
    { name: 'hold', rules: placeRules(family, goTo('wait'), ranges) },
    { name: 'arriving', hook: hook('prerouting'), rules: holding },
    ...(ownPackets ? [{ name: 'own', hook: hook('output'), rules: holding }] : []),
  ];
}
