/** The rules that are the same whatever the Services are. */
import * as chain from './chains.js';
import { markText, NFACCT_INVALID_DROPPED, type RuleSettings } from './RuleSettings.js';

/** nat: who is masqueraded. */
export function masqueradeRules(settings: RuleSettings): string {
  const mark = markText(settings);
  const random = settings.randomFully ? ' --random-fully' : '';
  return [
    `-A ${chain.POSTROUTING} -m mark ! --mark ${mark}/${mark} -j RETURN`,
    // Clears the mark, so that the packet is not masqueraded again when it crosses a virtual device.
    `-A ${chain.POSTROUTING} -j MARK --xor-mark ${mark}`,
    `-A ${chain.POSTROUTING} -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE${random}`,
    `-A ${chain.MARK_MASQ} -j MARK --or-mark ${mark}`,
    '',
  ].join('\n');
}

/** nat: the end of KUBE-SERVICES, which sends what is for the node itself to the node ports. */
export function nodePortDispatchRules(settings: RuleSettings): string {
  const text = 'kubernetes service nodeports; NOTE: this must be the last rule in this chain';
  const rule = `-A ${chain.SERVICES} -m comment --comment "${text}"`;
  if (settings.nodePortAddresses !== 'all') {
    return settings.nodePortAddresses.map((ip) => `${rule} -d ${ip} -j ${chain.NODE_PORTS}\n`).join('');
  }
  const loopback =
    settings.family === 'IPv6' ? ' ! -d ::1/128' : settings.localhostNodePorts ? '' : ' ! -d 127.0.0.0/8';
  return `${rule} -m addrtype --dst-type LOCAL${loopback} -j ${chain.NODE_PORTS}\n`;
}

/** filter: what service traffic may pass where the host's FORWARD policy is DROP. */
export function forwardRules(settings: RuleSettings): string {
  const mark = markText(settings);
  const counted = settings.accounting ? ` -m nfacct --nfacct-name ${NFACCT_INVALID_DROPPED}` : '';
  const invalid = `-A ${chain.FORWARD} -m conntrack --ctstate INVALID${counted} -j DROP\n`;
  return `${settings.conntrackLiberal ? '' : invalid}${[
    `-A ${chain.FORWARD} -m comment --comment "kubernetes forwarding rules" -m mark --mark ${mark}/${mark} -j ACCEPT`,
    `-A ${chain.FORWARD} -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    '',
  ].join('\n')}`;
}

/** filter KUBE-FIREWALL: with route_localnet on, neighbours must not reach 127.0.0.0/8 (CVE-2020-8558). */
export const LOCALNET_GUARD =
  '-m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP';

/** The same as iptables-save prints it. */
export const LOCALNET_GUARD_SAVED =
  '! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP';
