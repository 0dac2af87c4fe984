/** Compares states of FakeXtables, and names only the chains that differ. */
type Dump = Readonly<Record<string, readonly string[]>>;

export function sameRules(found: Dump, expected: Dump): void {
  for (const chain of new Set([...Object.keys(found), ...Object.keys(expected)])) {
    const [a, b] = [JSON.stringify(found[chain]), JSON.stringify(expected[chain])];
    if (a !== b) throw new Error(`${chain}\nfound    ${a}\nexpected ${b}`);
  }
}
