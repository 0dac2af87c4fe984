/**
 * What our table holds, as far as later changes need to know: not the elements, which follow from the routing table, but
 * who shares which, how many indexes a service port has, which chains there are, and how full the sets are.
 */

import type { SetSpec } from '../../../kernel/nftables/SetSpec.js';
import type { ChainSpec } from '../../../kernel/nftables/Transaction.js';
import { ruleText } from '../../../kernel/nftables/table/TableState.js';
import { WantedKeys } from '../../family/WantedKeys.js';
import { type AffinityTime, fixedChains } from '../desired/fixedChains.js';
import type { NftablesSettings } from '../desired/NftablesSettings.js';
import { type ServiceChain, serviceChains } from '../desired/ServiceChain.js';
import type { SlotCounts } from '../desired/servicePortElements.js';
import { roomFor, type SetName, type SizedSet, tableSets } from '../desired/sets.js';
import type { SharedSet } from './Collected.js';

export const SIZED_SETS: readonly SizedSet[] = [
  'service-ips',
  'node-ports',
  'endpoints',
  'node-port-endpoints',
];

export class TableContents {
  /** By ServicePort.key. */
  readonly slotCounts = new Map<string, SlotCounts>();
  readonly shared: Readonly<Record<SharedSet, WantedKeys>> = {
    'cluster-ips': new WantedKeys(),
    hairpins: new WantedKeys(),
  };
  /** `10800/tcp` → how many VIPs and node ports. */
  readonly affinityTimes = new WantedKeys();
  /** Sets of affinitySet() that exist, by name. */
  readonly affinitySets = new Map<string, SetSpec>();
  readonly serviceChains = new Map<string, ServiceChain>();
  /** Chain → its rules as text. */
  readonly chainTexts = new Map<string, string>();
  /** How many elements the sized sets hold. */
  readonly filled: Record<SizedSet, number> = {
    'service-ips': 0,
    'node-ports': 0,
    endpoints: 0,
    'node-port-endpoints': 0,
  };
  readonly sets: Readonly<Record<SetName, SetSpec>>;
  settings: NftablesSettings;

  constructor(settings: NftablesSettings, sizes: Readonly<Record<SizedSet, number>>) {
    this.settings = settings;
    this.sets = tableSets(settings.family, { sizes, counters: settings.counters });
  }

  times(): AffinityTime[] {
    return [...this.affinityTimes.keys()].sort().map((text) => {
      const [seconds = '', protocol = ''] = text.split('/');
      return { seconds: Number(seconds), protocol: protocol as AffinityTime['protocol'] };
    });
  }

  /** Every chain there must be under the present settings: who is named by others comes first. */
  wantedChains(): ChainSpec[] {
    const chains = new Map<string, ChainSpec>();
    const fixed = fixedChains(this.settings, this.times());
    const refusing = fixed.filter(({ name }) => name.startsWith('refuse'));
    for (const chain of refusing) chains.set(chain.name, chain);
    for (const each of this.serviceChains.values()) {
      const [entry, picker] = serviceChains(each, this.settings);
      if (picker) chains.set(picker.name, picker);
      if (entry) chains.set(entry.name, entry);
    }
    for (const chain of fixed) chains.set(chain.name, chain);
    return [...chains.values()];
  }
}

/** Sizes that have room for what there is; those of before as long as they have. */
export function sizesFor(
  filled: Readonly<Record<SizedSet, number>>,
  before: Partial<Record<SizedSet, number>>,
): Record<SizedSet, number> {
  const size = (set: SizedSet) => {
    const known = before[set] ?? 0;
    return known > filled[set] && known <= roomFor(filled[set]) * 4 ? known : roomFor(filled[set]);
  };
  return {
    'service-ips': size('service-ips'),
    'node-ports': size('node-ports'),
    endpoints: size('endpoints'),
    'node-port-endpoints': size('node-port-endpoints'),
  };
}

export function chainText({ rules }: ChainSpec): string {
  return rules.map(ruleText).join('\n\n');
}
