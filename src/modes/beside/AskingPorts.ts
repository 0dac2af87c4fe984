/** Whether any service port asks for something that is open only as long as one does. */
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { ServicePort } from '../../routing/ServicePort.js';

export class AskingPorts {
  readonly #families: readonly IpFamily[];
  readonly #asks: (port: ServicePort) => boolean;
  readonly #asking = new Map<IpFamily, Set<string>>();

  constructor(families: readonly IpFamily[], asks: (port: ServicePort) => boolean) {
    this.#families = families;
    this.#asks = asks;
  }

  get any(): boolean {
    return [...this.#asking.values()].some(({ size }) => size > 0);
  }

  /** The first time the whole table counts, later what changed. */
  note(table: RoutingView, changes: ChangeSet): void {
    for (const family of this.#families) {
      const asking = this.#asking.get(family);
      if (asking === undefined) {
        const ports = [...table.servicePorts(family).values()].filter(this.#asks);
        this.#asking.set(family, new Set(ports.map(({ key }) => key)));
        continue;
      }
      for (const { key, after } of changes.families[family]) {
        if (after && this.#asks(after)) asking.add(key);
        else asking.delete(key);
      }
    }
  }

  /** The next note() looks at the whole table. */
  forget(): void {
    this.#asking.clear();
  }
}
