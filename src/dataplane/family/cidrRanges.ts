/** CIDRs as what an interval set takes. */
import { type Cidr, cidrContains, type IpAddress, ipToBytes, prefixLength } from '../../net/ip.js';

/** First and last address, one character a byte. */
export function cidrRange(cidr: Cidr): { readonly first: string; readonly last: string } {
  const first = ipToBytes(addressOf(cidr));
  const length = prefixLength(cidr);
  const last = first.map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, length - i * 8))));
  return { first: String.fromCharCode(...first), last: String.fromCharCode(...last) };
}

/** An interval set takes no range twice, and none within another. */
export function withoutContained(cidrs: readonly Cidr[]): readonly Cidr[] {
  const unique = [...new Set(cidrs)];
  return unique.filter(
    (cidr) =>
      !unique.some(
        (other) =>
          other !== cidr && prefixLength(other) <= prefixLength(cidr) && cidrContains(other, addressOf(cidr)),
      ),
  );
}

function addressOf(cidr: Cidr): IpAddress {
  return cidr.slice(0, cidr.indexOf('/')) as IpAddress;
}
