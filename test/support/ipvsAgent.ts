/** Mode ipvs as an agent, on a kernel with IPVS. */
import { PENSTOCK } from './AgentProcess.js';
import { savedRules, shell } from './iptables.js';
import { PATIENCE } from './patience.js';

export const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1', '10.1.0.2'] };

/** Milliseconds for one test; everything is ten times slower there. */
export const LIMIT_MS = 380_000 * PATIENCE;

/** Until the agent must be ready there, milliseconds. */
export const READY_MS = 150_000;

export function settings(mode: string): string {
  return `mode: ${mode}\nclusterCIDR: 10.0.0.0/8\n`;
}

export function servers(): string {
  return shell('ipvsadm -Sn');
}

export function sets(): string {
  return shell('ipset save').replaceAll(/ initval \S+/g, '');
}

export function addresses(): string {
  return shell('ip -o address show dev kube-ipvs0 2>/dev/null || true').replaceAll(/^\d+: /gm, '');
}

export function legacyRules(): string {
  return savedRules('iptables-legacy');
}

/**
 * All that mode ipvs writes, as the tools print it. The order in which hashes list their elements says nothing, and the
 * ports on which the agent listens on loopback are others each time.
 */
export function everything(): string {
  const sorted = (text: string) => text.split('\n').sort().join('\n');
  const rules = legacyRules().replaceAll(/--to-ports \d+/g, '--to-ports');
  return [sorted(servers()), sorted(sets()), sorted(addresses()), rules].join('\n');
}

export function cleanUp(): void {
  shell(`${PENSTOCK} cleanup`);
}
