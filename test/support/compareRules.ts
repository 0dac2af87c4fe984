/** Compares rule sets chain by chain. */
import type { Test } from 'tap';
import { parseSave } from '../../src/kernel/xtables/parseSave.js';

/** Their rules come in the order of kube-proxy's service iteration, which is random. */
const SHARED_CHAINS = new Set([
  'KUBE-SERVICES',
  'KUBE-NODEPORTS',
  'KUBE-EXTERNAL-SERVICES',
  'KUBE-PROXY-FIREWALL',
]);

/** Table → chain → rules. In shared chains sorted, but for the last rule of nat KUBE-SERVICES. */
export function comparable(
  text: string,
  isKnownDifference: (rule: string) => boolean,
): Record<string, string[]> {
  const result: Record<string, string[]> = {};
  for (const [table, { chains }] of parseSave(text)) {
    for (const [chain, rules] of chains) {
      const kept = rules
        .filter((rule) => !isKnownDifference(rule))
        .map((rule) => rule.replace(/ {2,}/g, ' '));
      const last = table === 'nat' && chain === 'KUBE-SERVICES' ? kept.slice(-1) : [];
      const rest = last.length > 0 ? kept.slice(0, -1) : kept;
      // For IPv6 stock makes this one, which stays empty, with a call of its own.
      if (chain === 'KUBE-FIREWALL' && kept.length === 0) continue;
      result[`${table} ${chain}`] = SHARED_CHAINS.has(chain) ? [...rest.sort(), ...last] : kept;
    }
  }
  return result;
}

export function sameRules(
  test: Test,
  ours: string,
  stock: string,
  name: string,
  isKnownDifference: (rule: string) => boolean = () => false,
): void {
  const [a, b] = [comparable(ours, isKnownDifference), comparable(stock, isKnownDifference)];
  test.same(Object.keys(a).sort(), Object.keys(b).sort(), `${name}: same chains`);
  for (const chain of Object.keys(b)) test.same(a[chain], b[chain], `${name}: same rules in ${chain}`);
}
