/** The settings of a family, made anew only when something that they are made of is another: nearly no sync has others. */
import type { IpFamily } from '../../../net/ip.js';
import type { RoutingView } from '../../../routing/RoutingView.js';
import {
  type HostFacts,
  type NftablesOptions,
  type NftablesSettings,
  nftablesSettings,
} from './NftablesSettings.js';

export class KeptSettings {
  readonly #options: NftablesOptions;
  readonly #family: IpFamily;
  #madeOf: readonly unknown[] = [];
  #settings: NftablesSettings | undefined;

  constructor(options: NftablesOptions, family: IpFamily) {
    this.#options = options;
    this.#family = family;
  }

  /** As nftablesSettings(); the same object as the last time while all is the same. Lists are compared as objects. */
  of(table: Pick<RoutingView, 'node' | 'nodeObject' | 'serviceCIDRs'>, facts: HostFacts): NftablesSettings {
    const { addresses, localhostPorts, divertMark, untranslated, stance } = facts;
    const madeOf = [
      addresses,
      localhostPorts.tcp,
      localhostPorts.udp,
      divertMark,
      untranslated,
      stance,
      table.node.addresses[this.#family],
      table.nodeObject,
      table.serviceCIDRs(this.#family),
    ];
    if (this.#settings && madeOf.every((part, i) => part === this.#madeOf[i])) return this.#settings;
    this.#settings = nftablesSettings(this.#options, this.#family, table, facts);
    this.#madeOf = madeOf;
    return this.#settings;
  }
}
