/** Whether this network namespace speaks IPv6. */
import { readFileSync } from 'node:fs';

export function hostHasIpv6(): boolean {
  try {
    readFileSync('/proc/net/if_inet6');
    return readFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'utf8').trim() !== '1';
  } catch {
    return false;
  }
}
