/** A rule as iptables-save prints it, as words; quotes and backslashes resolved. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  for (const [, quoted, plain] of line.matchAll(/"((?:[^"\\]|\\.)*)"|([^\s"]+)/g)) {
    words.push(quoted?.replace(/\\(.)/g, '$1') ?? (plain as string));
  }
  return words;
}
