/** Parts of iptables-restore input. */
import { RestoreInput } from '../../kernel/xtables/RestoreInput.js';

/** How many chains one section may declare; see docs/iptables-restore.md. */
export type NatSectionLimit = number;

/**
 * nf_tables: iptables-nft 1.8.9 needs time that grows with the square of the chains of one COMMIT, and the kernel
 * checks the whole table at each. ip_tables: every COMMIT copies the whole table.
 */
export const SECTION_LIMIT: Readonly<Record<'nft' | 'legacy', NatSectionLimit>> = {
  nft: 1500,
  legacy: Number.POSITIVE_INFINITY,
};

/** Makes the chain, or empties it: with --noflush both are the same line. */
export function declare(chain: string): string {
  return `:${chain} - [0:0]\n`;
}

/** Chains that nothing leads to any more. */
export function removeChains(names: readonly string[]): string {
  return names.map(declare).join('') + names.map((name) => `-X ${name}\n`).join('');
}

export interface OwnedChain {
  /** ServicePort.key */
  readonly owner: string;
  readonly name: string;
  readonly text: string;
}

/** One or more `*nat … COMMIT` sections. The chains of one owner stay together: they change at once. */
export function chainSections(chains: readonly OwnedChain[], limit: NatSectionLimit): RestoreInput {
  const input = new RestoreInput();
  for (let start = 0; start < chains.length; ) {
    let end = Math.min(start + limit, chains.length);
    while (end < chains.length && chains[end]?.owner === chains[end - 1]?.owner) end++;
    const section = chains.slice(start, end);
    input.add('*nat\n');
    for (const { name, owner } of section) input.add(declare(name), owner);
    for (const { text, owner } of section) input.add(text, owner);
    input.add('COMMIT\n');
    start = end;
  }
  return input;
}
