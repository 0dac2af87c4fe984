/**
 * What the table must hold, as far as it takes to see whether it does: chains by what they are made of, and what the elements of each set
 * come to. Small however many elements there are, so one process may work it out and another compare.
 */
import { type DigestOfElements, ElementDigest } from '../../../kernel/nftables/listing/ElementDigest.js';
import type { ServicePort } from '../../../routing/ServicePort.js';
import type { WantedKeysOfSet } from '../../Dataplane.js';
import type { AffinityTime } from '../desired/fixedChains.js';
import { type Draw, type DrawCount, DrawCounts } from '../desired/pickChains.js';
import type { ServiceChain } from '../desired/ServiceChain.js';
import { countIndexes, type ElementSink, emitServicePort } from '../desired/servicePortElements.js';
import { affinitySet, type SetName } from '../desired/sets.js';
import { addChain, type SharedSet } from './Collected.js';

/** As JSON. */
export interface DigestOfTable {
  /** By name; a set without elements may be absent. */
  readonly sets: Readonly<Record<string, DigestOfElements>>;
  readonly chains: readonly ServiceChain[];
  readonly draws: readonly DrawCount[];
  readonly times: readonly AffinityTime[];
}

export class WantedDigest implements ElementSink {
  readonly #sets = new Map<string, ElementDigest>();
  readonly #shared: Readonly<Record<SharedSet, Set<string>>> = {
    'cluster-ips': new Set(),
    hairpins: new Set(),
  };
  readonly #chains = new Map<string, ServiceChain>();
  readonly #draws = new DrawCounts();
  readonly #times = new Map<string, AffinityTime>();
  readonly #keys: ReadonlyMap<string, string[]>;

  /** `keysOf`: sets whose keys takeKeys() gives. */
  constructor(keysOf: readonly string[] = []) {
    this.#keys = new Map(keysOf.map((set) => [set, []]));
  }

  add(port: ServicePort): void {
    emitServicePort(port, countIndexes(port), this);
  }

  element(set: SetName, key: string, value = ''): void {
    this.#set(set).add(key, value);
    this.#keys.get(set)?.push(key);
  }

  /** Those that came since they were taken, of sets where there are at least so many. */
  *takeKeys(atLeast: number): Generator<Omit<WantedKeysOfSet, 'family'>> {
    for (const [set, keys] of this.#keys) {
      if (keys.length < atLeast) continue;
      const bytes = Buffer.from(keys.join(''), 'latin1');
      yield { set, length: keys[0]?.length ?? 0, keys: bytes.toString('base64') };
      keys.length = 0;
    }
  }

  shared(set: SharedSet, key: string): void {
    const known = this.#shared[set];
    if (known.has(key)) return;
    known.add(key);
    this.#set(set).add(key, '');
  }

  chain(key: string, chain: ServiceChain, servicePort: string): void {
    addChain(this.#chains, this, key, chain, servicePort);
  }

  draw(draw: Draw, count: number): void {
    this.#draws.add(draw, count);
  }

  sticky(of: 'services' | 'node-ports', time: AffinityTime, key: string): void {
    this.#set(affinitySet('IPv4', of, time.seconds).name).add(key, '');
    this.#times.set(`${time.seconds}/${time.protocol}`, time);
  }

  toJSON(): DigestOfTable {
    return {
      sets: Object.fromEntries([...this.#sets].map(([name, digest]) => [name, digest.toJSON()])),
      chains: [...this.#chains.values()],
      draws: [...this.#draws],
      times: [...this.#times.values()],
    };
  }

  #set(name: string): ElementDigest {
    let digest = this.#sets.get(name);
    if (digest === undefined) {
      digest = new ElementDigest();
      this.#sets.set(name, digest);
    }
    return digest;
  }
}
