/** Removes rules and chains of one kind, in every backend of iptables that is installed. */
import { PenstockError } from '../errors.js';
import type { RestoreInput } from '../kernel/xtables/RestoreInput.js';
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

/** Output of `iptables-save -t …`; '' for a table that does not exist. */
export interface SavedTables {
  readonly mangle: string;
  readonly filter: string;
  readonly nat: string;
}

/** `plan` changes nothing. Never rejects: what failed is in the result, and the rest was done. */
export async function removeRules(
  what: 'plan' | 'remove',
  planRemoval: (saved: SavedTables, tool: XtablesTool) => RestoreInput,
): Promise<Removal[]> {
  const removals: Removal[] = [];
  for (const [family, program] of PROGRAMS) {
    try {
      const tool = await openIfInstalled(family, program);
      if (!tool) continue;
      const input = planRemoval(await savedTables(tool), tool);
      if (what === 'remove' && !input.isEmpty) await tool.restore(input);
      const text = input.isEmpty ? '' : input.toString();
      const chains = text.match(/^-X /gm)?.length ?? 0;
      removals.push({ subject: tool.description, chains, input: text });
    } catch (error) {
      removals.push({ subject: program, chains: 0, input: '', error });
    }
  }
  return removals;
}

async function savedTables(tool: XtablesTool): Promise<SavedTables> {
  const present = await tool.tables();
  const save = (table: string) => (present.includes(table) ? tool.save(table) : Promise.resolve(''));
  return { mangle: await save('mangle'), filter: await save('filter'), nat: await save('nat') };
}

async function openIfInstalled(family: IpFamily, program: string): Promise<XtablesTool | undefined> {
  try {
    return await XtablesTool.open(family, program);
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'PENSTOCK_XTABLES_MISSING') return undefined;
    throw error;
  }
}
