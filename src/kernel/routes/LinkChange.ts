/** One change of links or addresses, as a value: it can be printed, compared and committed. One message each. */
import type { IpAddress } from '../../net/ip.js';

export type LinkChange =
  /** A link of kind dummy, down. Refused with EEXIST when a link has that name. */
  | { readonly action: 'add dummy'; readonly link: string }
  /** ENODEV when it is not there. */
  | { readonly action: 'set up'; readonly link: string }
  /** With all its addresses. ENODEV when it is not there. */
  | { readonly action: 'delete link'; readonly link: string };

/** The address alone, without its neighbours: prefix length 32 or 128. */
export type AddressChange =
  /** EEXIST when it is there. */
  | { readonly action: 'add address'; readonly link: string; readonly address: IpAddress }
  /** EADDRNOTAVAIL when it is not there. */
  | { readonly action: 'delete address'; readonly link: string; readonly address: IpAddress };
