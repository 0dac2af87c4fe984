/**
 * Rules in one form, whoever spelled them: iptables-save prints options in another order than they were given, addresses with
 * lengths, marks without leading zeros, and what is a default. Two rules with the same form do the same.
 */

/** Options that mean the same as another with its value. */
const MARKS: Readonly<Record<string, (value: string) => string>> = {
  '--or-mark': (value) => `${value}/${value}`,
  '--xor-mark': (value) => `${value}/0x0`,
  '--and-mark': (value) => `0x0/${hex(~Number(value) >>> 0)}`,
};
/** Without a value: the next word is an option, too. */
const LONE = new Set([
  '--random-fully',
  '--random',
  '--set',
  '--rcheck',
  '--reap',
  '--rsource',
  '--physdev-is-in',
  '--map-mark',
]);
/** What iptables-save says although it is what happens without it. */
const DEFAULTS = new Set([
  '--reject-with icmp-port-unreachable',
  '--reject-with icmp6-port-unreachable',
  '--mask 255.255.255.255',
  '--mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
  '--nflog-threshold 1',
  '--rsource',
]);

/** `rule` without `-A chain`. */
export function ruleForm(rule: string): string {
  const words = rule.match(/"(?:\\.|[^"\\])*"|\S+/g) ?? [];
  const parts: string[] = [];
  for (let i = 0; i < words.length; ) {
    const negated = words[i] === '!';
    if (negated) i++;
    const option = words[i++] ?? '';
    let value = '';
    if (!LONE.has(option) && i < words.length && !isOption(words[i] ?? '')) value = plain(words[i++] ?? '');
    // Sets take a second word, for the direction.
    if (option === '--match-set' || option === '--add-set' || option === '--map-set')
      value += ` ${words[i++] ?? ''}`;
    // Protocols load their match by themselves.
    if (option === '-m') continue;
    const part = onePart(option, value);
    if (!DEFAULTS.has(part)) parts.push(negated ? `! ${part}` : part);
  }
  return parts.sort().join(' ');
}

function onePart(option: string, value: string): string {
  const mark = MARKS[option];
  if (mark) return `--set-xmark ${marks(mark(value))}`;
  if (option === '--mark' || option === '--set-xmark') return `${option} ${marks(value)}`;
  if (option === '-d' || option === '-s')
    return `${option} ${value.includes('/') ? value.replace(/\/(32|128)$/, '') : value}`;
  // Ten decimals, of which the kernel keeps a number of 31 bits.
  if (option === '--probability') return `${option} ${Number(value).toFixed(6)}`;
  return value === '' ? option : `${option} ${value}`;
}

function isOption(word: string): boolean {
  return word === '!' || (word.startsWith('-') && /^--?[a-z]/.test(word));
}

function plain(word: string): string {
  const inner = word.startsWith('"') && word.endsWith('"') && word.length > 1 ? word.slice(1, -1) : word;
  return inner.includes('\\') ? inner.replaceAll(/\\(["'\\])/g, '$1') : inner;
}

/** `0x00004000/0x00004000` → `0x4000/0x4000`. */
function marks(value: string): string {
  return value
    .split('/')
    .map((part) => hex(Number(part)))
    .join('/');
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
