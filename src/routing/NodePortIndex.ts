/** Which service port a node port belongs to. */
import type { IpFamily } from '../net/ip.js';
import type { Protocol } from '../objects/Service.js';
import type { ServicePortChange } from './ChangeSet.js';
import type { ServicePort } from './ServicePort.js';

export class NodePortIndex {
  readonly #ports = new Map<string, ServicePort>();

  /** Must be given every change once. Costs as much as what changed. */
  apply(family: IpFamily, changes: readonly ServicePortChange[]): void {
    // Who loses a node port comes before who wins it, in whatever order they are listed.
    for (const { before } of changes) {
      if (before && before.nodePort !== 0)
        this.#ports.delete(keyOf(family, before.protocol, before.nodePort));
    }
    for (const { after } of changes) {
      if (after && after.nodePort !== 0)
        this.#ports.set(keyOf(family, after.protocol, after.nodePort), after);
    }
  }

  get(family: IpFamily, protocol: Protocol, nodePort: number): ServicePort | undefined {
    return this.#ports.get(keyOf(family, protocol, nodePort));
  }
}

function keyOf(family: IpFamily, protocol: Protocol, nodePort: number): string {
  return `${family} ${protocol} ${nodePort}`;
}
