/** VIPs and node ports that no longer lead to a service port, each with the service ports (keys) that it led to. */
import { type IpAddress, joinHostPort } from '../../net/ip.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { type NodePortAddresses, vipTargets } from './Destinations.js';
import { forgetOldest } from './forgetOldest.js';

export class FormerPlaces {
  /** By `10.96.0.10:53`. */
  readonly #vips = new Map<string, Set<string>>();
  readonly #nodePorts = new Map<number, Set<string>>();

  get empty(): boolean {
    return this.#vips.size === 0 && this.#nodePorts.size === 0;
  }

  /** Takes note of all that led to `before` and does not lead to `after`. Returns whether there was any. */
  note(before: ServicePort, after: ServicePort | undefined): boolean {
    const kept = new Set(after === undefined ? [] : vipTargets(after));
    const lost = vipTargets(before).filter((vip) => !kept.has(vip));
    for (const vip of lost) add(this.#vips, vip, before.key);
    const nodePortLost = before.nodePort !== 0 && before.nodePort !== after?.nodePort;
    if (nodePortLost) add(this.#nodePorts, before.nodePort, before.key);
    return nodePortLost || lost.length > 0;
  }

  /** Keys of the service ports that `address` and `port` led to. */
  *owners(address: IpAddress, port: number, addresses: NodePortAddresses): Iterable<string> {
    yield* this.#vips.get(joinHostPort(address, port)) ?? [];
    if (addresses.has(address)) yield* this.#nodePorts.get(port) ?? [];
  }

  merge(other: FormerPlaces): void {
    for (const [vip, keys] of other.#vips) for (const key of keys) add(this.#vips, vip, key);
    for (const [port, keys] of other.#nodePorts) for (const key of keys) add(this.#nodePorts, port, key);
  }
}

function add<Place>(places: Map<Place, Set<string>>, place: Place, key: string): void {
  const keys = places.get(place) ?? new Set();
  keys.add(key);
  forgetOldest(keys);
  places.set(place, keys);
  forgetOldest(places);
}
