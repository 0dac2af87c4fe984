/** Which IP families this network namespace speaks. */
import { readFileSync } from 'node:fs';
import { IP_FAMILIES, type IpFamily } from '../../net/ip.js';

export function hostFamilies(): readonly IpFamily[] {
  return IP_FAMILIES.filter((family) => family === 'IPv4' || hostHasIpv6());
}

function hostHasIpv6(): boolean {
  try {
    readFileSync('/proc/net/if_inet6');
    return readFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'utf8').trim() !== '1';
  } catch {
    return false;
  }
}
