/** Elements of the sets: one text each, as ipset prints it. */
import type { Cidr, IpAddress } from '../../net/ip.js';
import type { Protocol } from '../../objects/Service.js';
import type { SetName } from './sets.js';

export interface SetEntry {
  readonly set: SetName;
  /** `10.0.0.1,tcp:80,10.0.0.0/24`: identifies the element within its set. */
  readonly element: string;
  /** Of sets with marks; not part of what identifies the element. */
  readonly mark?: number;
}

/** Identifies the element among those of all sets. */
export function entryKey({ set, element }: SetEntry): string {
  return `${set} ${element}`;
}

/** `10.0.0.1,tcp:80` */
export function placeElement(address: IpAddress, protocol: Protocol, port: number): string {
  return `${address},${protocol.toLowerCase()}:${port}`;
}

/** The source range as the last part of an element: of one address without its length. */
export function rangeElement(range: Cidr): string {
  return range.replace(range.includes(':') ? /\/128$/ : /\/32$/, '');
}
