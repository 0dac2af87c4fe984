/** Removes what mode iptables made, in every backend that is installed. Its chains are kube-proxy's too. */
import { planCleanup } from '../dataplane/iptables/planCleanup.js';
import { SECTION_LIMIT } from '../dataplane/iptables/sections.js';
import { PenstockError } from '../errors.js';
import { XtablesTool } from '../kernel/xtables/XtablesTool.js';
import type { IpFamily } from '../net/ip.js';

const PROGRAMS: readonly (readonly [IpFamily, string])[] = [
  ['IPv4', 'iptables-nft'],
  ['IPv4', 'iptables-legacy'],
  ['IPv6', 'ip6tables-nft'],
  ['IPv6', 'ip6tables-legacy'],
];

export interface Removal {
  /** `IPv4 iptables 1.8.9 (nft)`, or the program when it did not work. */
  readonly subject: string;
  /** Chains that were removed, or would be. */
  readonly chains: number;
  /** The input of iptables-restore that removes them. */
  readonly input: string;
  readonly error?: unknown;
}

/** `plan` changes nothing. Never rejects: what failed is in the result, and the rest was done. */
export async function removeIptables(what: 'plan' | 'remove'): Promise<Removal[]> {
  const removals: Removal[] = [];
  for (const [family, program] of PROGRAMS) {
    try {
      const tool = await openIfInstalled(family, program);
      if (tool) removals.push(await cleanTables(tool, what));
    } catch (error) {
      removals.push({ subject: program, chains: 0, input: '', error });
    }
  }
  return removals;
}

async function cleanTables(tool: XtablesTool, what: 'plan' | 'remove'): Promise<Removal> {
  const present = await tool.tables();
  const save = (table: string) => (present.includes(table) ? tool.save(table) : Promise.resolve(''));
  const saved = { mangle: await save('mangle'), filter: await save('filter'), nat: await save('nat') };
  const input = planCleanup(saved, SECTION_LIMIT[tool.version.backend]);
  if (what === 'remove' && !input.isEmpty) await tool.restore(input);
  const text = input.isEmpty ? '' : input.toString();
  return { subject: tool.description, chains: text.match(/^-X /gm)?.length ?? 0, input: text };
}

async function openIfInstalled(family: IpFamily, program: string): Promise<XtablesTool | undefined> {
  try {
    return await XtablesTool.open(family, program);
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'PENSTOCK_XTABLES_MISSING') return undefined;
    throw error;
  }
}
