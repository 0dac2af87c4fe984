/** Rules as lists of words, quotes resolved. */
import { splitWords } from '../../src/compare/iptables/splitWords.js';
import { remembered } from './remembered.js';

export function joinWords(words: readonly string[]): string {
  return words.map((word) => (/^[^\s"]+$/.test(word) ? word : `"${word}"`)).join(' ');
}

/** What the rule jumps to; undefined when it has no target. */
export const targetOf = remembered((rule: string): string | undefined => {
  const words = splitWords(rule);
  const at = words.indexOf('-j');
  return at < 0 ? undefined : words[at + 1];
});

/** iptables-save prints these first, in this order, and addresses with a prefix length. */
const FIRST = ['-s', '-d', '-i', '-p'];

export function savedForm(words: readonly string[]): string {
  const first = new Map<string, string[]>();
  const rest: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const negated = words[i] === '!' && FIRST.includes(words[i + 1] ?? '');
    if (negated) i++;
    const word = words[i] as string;
    if (!FIRST.includes(word)) {
      rest.push(word);
      continue;
    }
    const value = words[++i] ?? '';
    const shown = word === '-s' || word === '-d' ? withLength(value) : value;
    first.set(word, [...(negated ? ['!'] : []), word, shown]);
  }
  return joinWords([...FIRST.flatMap((option) => first.get(option) ?? []), ...rest]);
}

function withLength(address: string): string {
  if (address.includes('/')) return address;
  return address.includes(':') ? `${address}/128` : `${address}/32`;
}
