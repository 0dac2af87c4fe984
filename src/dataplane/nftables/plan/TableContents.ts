/**
 * What our table holds, as far as later changes need to know: not the elements, which follow from the routing table, but
 * who shares which, which chains there are, and how full the sets are.
 */

import type { SetSpec } from '../../../kernel/nftables/SetSpec.js';
import type { ChainSpec } from '../../../kernel/nftables/Transaction.js';
import { WantedKeys } from '../../family/WantedKeys.js';
import { type AffinityTime, fixedChains } from '../desired/fixedChains.js';
import type { NftablesSettings } from '../desired/NftablesSettings.js';
import {
  COMMON_COUNTS,
  type Draw,
  type DrawCount,
  drawChainName,
  drawChains,
  drawOf,
} from '../desired/pickChains.js';
import { DEFAULT, type ServiceChain, serviceChainName, serviceChains } from '../desired/ServiceChain.js';
import { roomFor, type SetName, type SizedSet, tableSets } from '../desired/sets.js';
import type { Collected, SharedSet } from './Collected.js';

export const SIZED_SETS: readonly SizedSet[] = [
  'service-ips',
  'node-ports',
  'endpoints',
  'node-port-endpoints',
];

const NO_CHAINS: readonly ChainSpec[] = [];

export class TableContents {
  readonly shared: Readonly<Record<SharedSet, WantedKeys>> = {
    'cluster-ips': new WantedKeys(),
    hairpins: new WantedKeys(),
  };
  /** `10800/tcp` → how many VIPs and node ports. */
  readonly affinityTimes = new WantedKeys();
  /** Sets of affinitySet() that exist, by name. */
  readonly affinitySets = new Map<string, SetSpec>();
  readonly #serviceChains = new Map<string, ServiceChain>();
  /** By name of the chain that finds out how many indexes there are. */
  readonly #draws = new Map<string, { readonly draw: Draw; readonly counts: Set<number> }>();
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
    this.#addServiceChain(DEFAULT);
  }

  /** Takes note of the chains that service ports need, and says which of all chains are others for it. */
  addChains({
    chains,
    draws,
  }: Pick<Collected, 'chains'> & { readonly draws: Iterable<DrawCount> }): readonly ChainSpec[] {
    const services: ServiceChain[] = [];
    const touched = new Set<string>();
    for (const [name, chain] of chains) {
      if (this.#serviceChains.has(name)) continue;
      services.push(chain);
      for (const draw of this.#addServiceChain(chain)) touched.add(draw);
    }
    for (const { draw, count } of draws) {
      const name = drawChainName(draw);
      const { counts } = this.#draws.get(name) ?? this.#addDraw(draw);
      if (counts.has(count)) continue;
      counts.add(count);
      touched.add(name);
    }
    if (touched.size === 0 && services.length === 0) return NO_CHAINS;
    return [
      ...[...touched].flatMap((name) => this.#chainsOfDraw(name)),
      ...services.flatMap((chain) => serviceChains(chain, this.settings)),
    ];
  }

  /** Returns names of draws that come with it. */
  #addServiceChain(chain: ServiceChain): readonly string[] {
    this.#serviceChains.set(serviceChainName(chain), chain);
    const { space, pick, shortCircuit } = chain;
    const draws = [
      drawOf(space, 'own', pick),
      shortCircuit === undefined ? undefined : drawOf(space, 'all', shortCircuit),
    ];
    return draws.flatMap((draw) => {
      if (draw === undefined) return [];
      const name = drawChainName(draw);
      if (this.#draws.has(name)) return [];
      this.#addDraw(draw);
      return [name];
    });
  }

  #addDraw(draw: Draw): { readonly draw: Draw; readonly counts: Set<number> } {
    const entry = { draw, counts: new Set(COMMON_COUNTS) };
    this.#draws.set(drawChainName(draw), entry);
    return entry;
  }

  #chainsOfDraw(name: string): readonly ChainSpec[] {
    const found = this.#draws.get(name);
    if (!found) return [];
    const counts = [...found.counts].sort((a, b) => a - b);
    return drawChains(found.draw, counts, this.settings.family);
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
    for (const name of this.#draws.keys())
      for (const chain of this.#chainsOfDraw(name)) chains.set(chain.name, chain);
    for (const each of this.#serviceChains.values())
      for (const chain of serviceChains(each, this.settings)) chains.set(chain.name, chain);
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
