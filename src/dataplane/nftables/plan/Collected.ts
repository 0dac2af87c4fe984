/** The elements of some service ports, gathered by set. */

import { nameKey } from '../../../kernel/nftables/dataTypes.js';
import { commentedValue, gotoValue } from '../../../kernel/nftables/elements.js';
import type { ServicePort } from '../../../routing/ServicePort.js';
import type { AffinityTime } from '../desired/fixedChains.js';
import { type Draw, DrawCounts } from '../desired/pickChains.js';
import { DEFAULT, DEFAULT_CHAIN, type ServiceChain, serviceChainName } from '../desired/ServiceChain.js';
import {
  countIndexes,
  type ElementSink,
  emitServicePort,
  type IndexCounts,
} from '../desired/servicePortElements.js';
import { affinitySet, type SetName } from '../desired/sets.js';

export interface KeysAndValues {
  readonly keys: string[];
  /** One for each key; empty for a set. */
  readonly values: string[];
}

export type SharedSet = 'cluster-ips' | 'hairpins';

/** The chain of a service port among `chains`, by name, and the elements that lead to it. */
export function addChain(
  chains: Map<string, ServiceChain>,
  to: Pick<Collected, 'element'>,
  key: string,
  chain: ServiceChain,
  servicePort: string,
): void {
  const name = chain === DEFAULT ? DEFAULT_CHAIN : serviceChainName(chain);
  if (!chains.has(name)) chains.set(name, chain);
  if (chain.space === 'node-port') {
    to.element('node-ports', key, gotoValue(name, servicePort));
    return;
  }
  to.element('service-ips', key, commentedValue(nameKey(chain.kind), servicePort));
  if (name !== DEFAULT_CHAIN) to.element('service-chains', key, gotoValue(name, ''));
}

export class Collected implements ElementSink {
  readonly sets = new Map<SetName, KeysAndValues>();
  readonly sharedKeys = new Map<SharedSet, string[]>();
  /** By name of the chain. */
  readonly chains = new Map<string, ServiceChain>();
  readonly draws = new DrawCounts();
  /** By name of the set that lists them. */
  readonly stickyKeys = new Map<
    string,
    { readonly of: 'services' | 'node-ports'; readonly seconds: number; readonly keys: string[] }
  >();
  readonly times: AffinityTime[] = [];

  add(port: ServicePort, counts: IndexCounts = countIndexes(port)): void {
    emitServicePort(port, counts, this);
  }

  element(set: SetName, key: string, value?: string): void {
    let elements = this.sets.get(set);
    if (!elements) {
      elements = { keys: [], values: [] };
      this.sets.set(set, elements);
    }
    elements.keys.push(key);
    if (value !== undefined) elements.values.push(value);
  }

  count(set: SetName): number {
    return this.sets.get(set)?.keys.length ?? 0;
  }

  shared(set: SharedSet, key: string): void {
    const keys = this.sharedKeys.get(set);
    if (keys) keys.push(key);
    else this.sharedKeys.set(set, [key]);
  }

  chain(key: string, chain: ServiceChain, servicePort: string): void {
    addChain(this.chains, this, key, chain, servicePort);
  }

  draw(draw: Draw, count: number): void {
    this.draws.add(draw, count);
  }

  sticky(of: 'services' | 'node-ports', time: AffinityTime, key: string): void {
    const { name } = affinitySet('IPv4', of, time.seconds);
    const list = this.stickyKeys.get(name);
    if (list) list.keys.push(key);
    else this.stickyKeys.set(name, { of, seconds: time.seconds, keys: [key] });
    this.times.push(time);
  }
}
