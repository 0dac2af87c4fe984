/** Which service port has a node port. */
import type { IpFamily } from '../../net/ip.js';
import type { Protocol } from '../../objects/Service.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';

export class NodePortOwners {
  readonly #owners = new Map<string, ServicePort>();

  apply(family: IpFamily, changes: readonly ServicePortChange[]): void {
    for (const { before, after } of changes) {
      if (before && before.nodePort !== after?.nodePort) this.#remove(family, before);
      if (after && after.nodePort !== 0) this.#owners.set(keyOf(family, after.protocol, after.nodePort), after);
    }
  }

  get(family: IpFamily, protocol: Protocol, nodePort: number): ServicePort | undefined {
    return this.#owners.get(keyOf(family, protocol, nodePort));
  }

  /** Unless it belongs to another already. */
  #remove(family: IpFamily, { key, protocol, nodePort }: ServicePort): void {
    const place = keyOf(family, protocol, nodePort);
    if (this.#owners.get(place)?.key === key) this.#owners.delete(place);
  }
}

function keyOf(family: IpFamily, protocol: Protocol, nodePort: number): string {
  return `${family} ${protocol} ${nodePort}`;
}
