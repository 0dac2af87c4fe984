/** Reads the output of iptables-save and of `iptables -S`. */

export interface SavedTable {
  /** Chain name → its rules in order, each as printed, without `-A CHAIN `. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

/** Table name → table. Lines that are neither table, chain nor rule are skipped. */
export function parseSave(text: string): Map<string, SavedTable> {
  const tables = new Map<string, { chains: Map<string, string[]> }>();
  let chains: Map<string, string[]> | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) {
      chains = new Map();
      tables.set(line.slice(1).trim(), { chains });
    } else if (line.startsWith(':')) {
      chains?.set(line.slice(1, line.indexOf(' ')), []);
    } else {
      const rule = /^(?:\[\d+:\d+\] )?-A (\S+) ?(.*)$/.exec(line);
      if (rule) chains?.get(rule[1] as string)?.push(rule[2] as string);
    }
  }
  return tables;
}

/** `-D CHAIN RULE` lines for some rules of some chains. */
export function deleteRules(
  table: SavedTable | undefined,
  chains: readonly string[],
  which: (rule: string) => boolean,
): string {
  return chains
    .flatMap((chain) => (table?.chains.get(chain) ?? []).filter(which).map((rule) => `-D ${chain} ${rule}\n`))
    .join('');
}

/** The chain or target that a rule leads to, by -j or -g. */
export function targetOf(rule: string): string | undefined {
  return /(?:^| )-[jg] (\S+)/.exec(rule)?.[1];
}

/** A rule in one spelling: without quotes that its words do not need. */
export function normalizeRule(rule: string): string {
  return rule.replace(/"([^"\s]*)"/g, '$1').trim();
}
