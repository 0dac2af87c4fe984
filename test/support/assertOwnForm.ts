/** The forms of iptables rules that penstock writes, and no others: src/compare reads more, since others write more. */
import { splitWords } from '../../src/compare/iptables/splitWords.js';

/** What may follow `-m`: patterns of the words, each for a whole word. */
const MATCHES: Readonly<Record<string, readonly RegExp[]>> = {
  tcp: [],
  udp: [],
  sctp: [],
  // xt_comment holds no more.
  comment: [/^--comment$/, /^[\s\S]{0,255}$/],
  nfacct: [/^--nfacct-name$/, /^.+$/],
  addrtype: [/^--(src|dst)-type$/, /^LOCAL$/],
};
const PLAIN = ['-s', '-d', '-p', '-i', '--dport'];

/** `key`: `nat KUBE-SERVICES`. Throws with the word that is unknown. */
export function assertOwnForm(key: string, rule: string): void {
  const words = splitWords(rule);
  const table = key.split(' ')[0];
  let at = 0;
  const next = () => words[at++] ?? '';
  const fail = (word: string): never => {
    throw new Error(`unknown form at '${word}' in rule: ${rule}`);
  };
  const expect = (...patterns: readonly RegExp[]) => {
    for (const pattern of patterns) {
      const word = next();
      if (!pattern.test(word)) fail(word);
    }
  };
  const skip = (word: string) => {
    if (words[at] === word) at++;
  };
  let isChance = false;
  for (let option = next(); option !== '' && option !== '-j'; option = next()) {
    const isNegated = option === '!';
    if (isNegated) option = next();
    if (option !== '-m') {
      if (!PLAIN.includes(option)) fail(option);
      next();
      continue;
    }
    const name = next();
    if (isNegated) fail(name);
    if (name === 'statistic') {
      expect(/^--mode$/, /^random$/, /^--probability$/);
      assertChance(next());
      isChance = true;
    } else if (name === 'conntrack' || name === 'mark') {
      skip('!');
      if (name === 'mark') expect(/^--mark$/, /^\S+\/\S+$/);
      else expect(/^--ctstate$/, /^[A-Z,]+$/);
    } else if (name === 'recent') {
      expect(/^--name$/, /^.+$/);
      if (words[at] === '--set') at++;
      else expect(/^--rcheck$/, /^--seconds$/, /^[1-9]\d*$/, /^--reap$/);
    } else expect(...(MATCHES[name] ?? fail(name)));
  }
  assertTarget(words.slice(at), table, fail);
  if (isChance && at >= words.length) fail('choice without a target');
}

function assertTarget([name, option]: readonly string[], table = '', fail: (word: string) => never): void {
  const isAllowed = {
    MARK: option === '--or-mark' || option === '--xor-mark',
    MASQUERADE: option === undefined || option === '--random-fully',
    DNAT: option === '--to-destination' && table === 'nat',
    DROP: option === undefined && table === 'filter',
    REJECT: option === undefined && table === 'filter',
  }[name ?? ''];
  if (!(isAllowed ?? option === undefined)) fail(`${name} ${option ?? ''} (${table})`);
}

/** Ten decimals stand for 1/n. */
function assertChance(text: string): void {
  const n = Math.round(1 / Number(text));
  if ((1 / n).toFixed(10) !== text || n < 2) throw new Error(`${text} is not 1/n with ten decimals`);
}
