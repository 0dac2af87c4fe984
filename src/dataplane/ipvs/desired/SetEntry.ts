/** Elements of the sets: one text each, as ipset prints it. */
import type { SetChange } from '../../../kernel/ipset/SetChange.js';
import type { Cidr, IpAddress, IpFamily } from '../../../net/ip.js';
import type { Protocol } from '../../../objects/Service.js';
import { type SetName, setSpec } from './sets.js';

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

/** The message that puts the element there, or takes it away. */
export function entryChange(
  action: 'add' | 'delete',
  { set, element, mark }: SetEntry,
  family: IpFamily,
): SetChange {
  const spec = setSpec(set, family);
  if (action === 'delete') return { action, set: spec, element };
  return mark === undefined ? { action, set: spec, element } : { action, set: spec, element, mark };
}
