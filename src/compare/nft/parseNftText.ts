/** `nft list ruleset` as tables. What is not needed (types, sizes, flags, objects) is passed over. */
import { PenstockError } from '../../errors.js';
import { makeSet, type NftChain, type NftHook, type NftSet, type NftTable } from './Ruleset.js';

/** Words, strings with their quotes, braces, commas, ends of lines. */
const TOKEN = /"[^"]*"|[{},;]|\n|[^\s{},;"]+|#[^\n]*/g;

/** Throws PENSTOCK_RULES_UNREADABLE. */
export function parseNftText(text: string, name: string): NftTable[] {
  const reader = new Tokens(text, name);
  const tables: NftTable[] = [];
  for (let word = reader.nextWord(); word !== undefined; word = reader.nextWord()) {
    if (word !== 'table') throw reader.unreadable(`a table was expected, not ${JSON.stringify(word)}`);
    const family = reader.nextWord() ?? '';
    const table = reader.nextWord() ?? '';
    reader.expect('{');
    tables.push(readTable(reader, family, table));
  }
  if (tables.length === 0) throw reader.unreadable('no table in it');
  return tables;
}

function readTable(reader: Tokens, family: string, name: string): NftTable {
  const chains = new Map<string, NftChain>();
  const sets = new Map<string, NftSet>();
  for (let word = reader.nextWord(); word !== '}'; word = reader.nextWord()) {
    if (word === undefined) throw reader.unreadable(`table ${name} does not end`);
    if (word === 'comment') reader.nextWord();
    else if (word === 'flags') reader.line();
    else {
      const kind = word;
      const own = reader.nextWord() ?? '';
      reader.expect('{');
      if (kind === 'chain') chains.set(own, readChain(reader, own));
      else if (kind === 'set' || kind === 'map') sets.set(own, readSet(reader, own));
      else reader.skipBlock();
    }
  }
  return { family, name, chains, sets };
}

function readChain(reader: Tokens, name: string): NftChain {
  let hook: NftHook | undefined;
  const rules: string[][] = [];
  for (;;) {
    const line = reader.line();
    if (line === undefined) throw reader.unreadable(`chain ${name} does not end`);
    if (line[0] === '}') return { hook, rules };
    if (line[0] === 'type' && line[2] === 'hook') hook = hookOf(line);
    else if (line[0] === 'comment' || line[0] === 'policy') continue;
    else if (line.length > 0) rules.push(line);
  }
}

const NAMED_PRIORITIES: ReadonlyMap<string, number> = new Map([
  ['raw', -300],
  ['mangle', -150],
  ['dstnat', -100],
  ['filter', 0],
  ['security', 50],
  ['srcnat', 100],
]);

/** `type filter hook prerouting priority dstnat - 10; policy accept;` */
function hookOf(line: readonly string[]): NftHook {
  const at = line.indexOf('priority');
  const [base = '0', sign, offset] = line.slice(at + 1);
  const shift = sign === '+' || sign === '-' ? Number(`${sign}${offset}`) : 0;
  return {
    type: line[1] ?? '',
    name: line[3] ?? '',
    priority: (NAMED_PRIORITIES.get(base) ?? Number(base)) + shift,
  };
}

function readSet(reader: Tokens, name: string): NftSet {
  let elements: string[][] = [];
  for (;;) {
    const word = reader.nextWord();
    if (word === undefined) throw reader.unreadable(`set ${name} does not end`);
    if (word === '}') return makeSet(elements);
    if (word === 'elements') {
      reader.expect('=');
      reader.expect('{');
      elements = reader.list();
    } else if (word !== ';') reader.line();
  }
}

class Tokens {
  readonly #tokens: readonly string[];
  readonly #name: string;
  #at = 0;

  constructor(text: string, name: string) {
    this.#tokens = text.match(TOKEN) ?? [];
    this.#name = name;
  }

  /** The next token that is no end of a line. */
  nextWord(): string | undefined {
    while (this.#tokens[this.#at] === '\n' || this.#tokens[this.#at]?.startsWith('#')) this.#at++;
    return this.#tokens[this.#at++];
  }

  expect(word: string): void {
    const found = this.nextWord();
    if (found !== word) throw this.unreadable(`${word} was expected, not ${JSON.stringify(found ?? '')}`);
  }

  /** To the end of the line; lists in braces may go over several. ['}'] when the block ends. */
  line(): string[] | undefined {
    const words: string[] = [];
    let depth = 0;
    for (;;) {
      const token = this.#tokens[this.#at];
      if (token === undefined) return words.length > 0 ? words : undefined;
      if (token === '}' && depth === 0) {
        if (words.length > 0) return words;
        this.#at++;
        return ['}'];
      }
      this.#at++;
      if (token === '{') depth++;
      if (token === '}') depth--;
      if (token === '\n' && depth === 0) {
        if (words.length > 0) return words;
      } else if (token !== '\n' && !token.startsWith('#')) words.push(token);
    }
  }

  /** After '{': what stands between commas, to '}'. */
  list(): string[][] {
    const items: string[][] = [];
    let item: string[] = [];
    for (let word = this.nextWord(); word !== '}'; word = this.nextWord()) {
      if (word === undefined) throw this.unreadable('a list does not end');
      if (word === ',') {
        items.push(item);
        item = [];
      } else item.push(word);
    }
    if (item.length > 0) items.push(item);
    return items;
  }

  /** After '{'. */
  skipBlock(): void {
    for (let depth = 1; depth > 0; ) {
      const token = this.#tokens[this.#at++];
      if (token === undefined) throw this.unreadable('a block does not end');
      if (token === '{') depth++;
      if (token === '}') depth--;
    }
  }

  unreadable(why: string): PenstockError {
    const line = this.#tokens.slice(0, this.#at).filter((token) => token === '\n').length + 1;
    return new PenstockError('PENSTOCK_RULES_UNREADABLE', `${this.#name}:${line}: ${why}`, {
      remedy: 'Give the output of `nft list ruleset` (or `nft -j list ruleset`) as it is.',
    });
  }
}
