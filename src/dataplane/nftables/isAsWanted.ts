/** Whether the kernel's table is the one that a full sync would write: without an object for any of its elements. */
import { ipKey } from '../../kernel/nftables/dataTypes.js';
import { ElementDigest } from '../../kernel/nftables/listing/ElementDigest.js';
import { Transaction } from '../../kernel/nftables/Transaction.js';
import type { NftablesSettings } from './desired/NftablesSettings.js';
import { serviceChainName } from './desired/ServiceChain.js';
import { LEARNED_SETS, type SizedSet } from './desired/sets.js';
import { contentsOf, planChains, planSets } from './plan/planFull.js';
import type { DigestOfTable } from './plan/WantedDigest.js';
import type { PresentDigest } from './TableDigest.js';

/** Pure. False also where only a look at every element can tell. */
export function isAsWanted(
  wanted: DigestOfTable,
  settings: NftablesSettings,
  present: PresentDigest,
): boolean {
  const gathered = {
    count: (set: SizedSet) => wanted.sets[set]?.count ?? 0,
    sharedKeys: new Map(),
    chains: new Map(wanted.chains.map((chain) => [serviceChainName(chain), chain])),
    draws: wanted.draws,
    times: [...wanted.times],
  };
  const contents = contentsOf(gathered, settings, present.sizes, []);
  const transaction = new Transaction(settings.family, '');
  const sets = [...Object.values(contents.sets), ...contents.affinitySets.values()];
  const kept = planSets(transaction, sets, present.state);
  planChains(transaction, contents, present.state, kept.replaced);
  if (!transaction.isEmpty || present.state.flags !== 0) return false;
  const nodePortIPs = new ElementDigest();
  for (const ip of settings.nodePortIPs) nodePortIPs.add(ipKey(ip), '');
  return sets.every(
    ({ name }) =>
      LEARNED_SETS.has(name) ||
      present.sets.get(name)?.equals(name === 'node-port-ips' ? nodePortIPs : wanted.sets[name]) === true,
  );
}
