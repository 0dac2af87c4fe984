/** A change in ip's words: a line of what `ip -batch -` takes. */
import { familyOf } from '../../net/ip.js';
import type { AddressChange, LinkChange } from './LinkChange.js';

/** Without a line feed. */
export function printLinkChange(change: LinkChange): string {
  switch (change.action) {
    case 'add dummy':
      return `link add ${change.name} type dummy`;
    case 'set up':
      return `link set ${change.link.name} up`;
    case 'delete link':
      return `link del ${change.link.name}`;
  }
}

/** Without a line feed. */
export function printAddressChange({ action, link, address }: AddressChange): string {
  const length = familyOf(address) === 'IPv4' ? 32 : 128;
  return `addr ${action === 'add address' ? 'add' : 'del'} ${address}/${length} dev ${link.name}`;
}
