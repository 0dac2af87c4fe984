/** One change of links or of their addresses, as a value: it can be printed, compared and committed. One message each. */
import type { IpAddress } from '../../net/ip.js';
import type { Link } from './Link.js';

export type LinkChange =
  /** Makes a link of kind dummy, down. EEXIST when a link has that name. */
  | { readonly action: 'add dummy'; readonly name: string }
  /** ENODEV when it is not there. */
  | { readonly action: 'set up'; readonly link: Link }
  /** With all its addresses. ENODEV when it is not there. */
  | { readonly action: 'delete link'; readonly link: Link };

/** The address alone, without neighbours: prefix length 32 or 128. */
export interface AddressChange {
  /**
   * `add address`: EEXIST when it is there. `delete address`: EADDRNOTAVAIL when it is not there. Both: ENODEV without
   * the link.
   */
  readonly action: 'add address' | 'delete address';
  readonly link: Link;
  readonly address: IpAddress;
}
