/** Parts of iptables-restore input. */
import { RestoreInput } from '../../../kernel/xtables/RestoreInput.js';
import type { OwnChain } from './renderServicePort.js';

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

/** Chains of one service port, to be written. */
export interface OwnedChains {
  /** ServicePort.key */
  readonly owner: string;
  readonly count: number;
  readonly chains: () => readonly OwnChain[];
}

export function addDeclarations(input: RestoreInput, owned: readonly OwnedChains[]): void {
  for (const { owner, chains } of owned) {
    input.add(
      () =>
        chains()
          .map(({ name }) => declare(name))
          .join(''),
      owner,
    );
  }
}

export function addRules(input: RestoreInput, owned: readonly OwnedChains[]): void {
  for (const { owner, chains } of owned) {
    input.add(
      () =>
        chains()
          .map(({ text }) => text)
          .join(''),
      owner,
    );
  }
}

export function countChains(owned: readonly OwnedChains[]): number {
  return owned.reduce((sum, { count }) => sum + count, 0);
}

/** One or more `*nat … COMMIT` sections. The chains of one owner stay together: they change at once. */
export function chainSections(owned: readonly OwnedChains[], limit: NatSectionLimit): RestoreInput {
  const input = new RestoreInput();
  for (let start = 0; start < owned.length; ) {
    let end = start;
    for (let count = 0; end < owned.length && count < limit; end++) count += owned[end]?.count ?? 0;
    const section = owned.slice(start, end);
    input.add('*nat\n');
    addDeclarations(input, section);
    addRules(input, section);
    input.add('COMMIT\n');
    start = end;
  }
  return input;
}
