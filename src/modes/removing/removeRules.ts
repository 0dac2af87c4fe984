/** Removes rules and chains of one kind, in every backend of iptables that is installed. */
import { PenstockError } from '../../errors.js';
import { legacyTables } from '../../kernel/xtables/legacyTables.js';
import { nftChainNames } from '../../kernel/xtables/nftChains.js';
import type { RestoreInput } from '../../kernel/xtables/RestoreInput.js';
import { type XtablesBackend, XtablesTool } from '../../kernel/xtables/XtablesTool.js';
import type { IpFamily } from '../../net/ip.js';

const PROGRAMS: readonly (readonly [IpFamily, XtablesBackend, string])[] = [
  ['IPv4', 'nft', 'iptables-nft'],
  ['IPv4', 'legacy', 'iptables-legacy'],
  ['IPv6', 'nft', 'ip6tables-nft'],
  ['IPv6', 'legacy', 'ip6tables-legacy'],
];

/** Of every chain of ours and of kube-proxy (rules/chains.ts of both modes); a jump is never without its chain. */
const PREFIXES = ['KUBE-', 'PENSTOCK-'] as const;

export interface Removal {
  /** `iptables 1.8.9 (nft)`, or the program when it did not work or was not needed. */
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
  for (const [family, backend, program] of PROGRAMS) {
    try {
      if (!(await mayHold(family, backend))) {
        removals.push({ subject: program, chains: 0, input: '' });
        continue;
      }
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

/** Asks the kernel, which is a hundred times as fast as the four processes that the program costs: every start asks. */
async function mayHold(family: IpFamily, backend: XtablesBackend): Promise<boolean> {
  if (backend === 'legacy') return (await legacyTables(family)).length > 0;
  const names = await nftChainNames(family);
  return names === undefined || names.some((name) => PREFIXES.some((prefix) => name.startsWith(prefix)));
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
