/** Finds the objects that can have a say about one address and port, so that the evaluator need not look at all. */

import { vipsOf } from '../explain/claims.js';
import type { World } from '../explain/World.js';
import { IP_FAMILIES } from '../net/ip.js';
import type { EndpointSlice } from '../objects/EndpointSlice.js';
import type { Service } from '../objects/Service.js';
import type { PacketFlow } from './Packet.js';

export class PlaceIndex {
  readonly #world: World;
  readonly #byAddress = new Map<string, Service[]>();
  readonly #byNodePort = new Map<number, Service[]>();
  readonly #slices = new Map<string, EndpointSlice[]>();

  constructor(world: World) {
    this.#world = world;
    for (const service of world.services) {
      for (const family of IP_FAMILIES) {
        for (const address of vipsOf(world, service, family)) push(this.#byAddress, address, service);
      }
      for (const { nodePort } of service.ports) if (nodePort !== 0) push(this.#byNodePort, nodePort, service);
    }
    for (const slice of world.slices) push(this.#slices, `${slice.namespace}/${slice.serviceName}`, slice);
  }

  /** The world as far as this flow is concerned. */
  worldFor({ destination, port }: PacketFlow): World {
    const services = new Set([
      ...(this.#byAddress.get(destination) ?? []),
      ...(this.#byNodePort.get(port) ?? []),
    ]);
    const slices = [...services].flatMap(
      ({ namespace, name }) => this.#slices.get(`${namespace}/${name}`) ?? [],
    );
    return { ...this.#world, services: [...services], slices };
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else if (list.at(-1) !== value) list.push(value);
}
