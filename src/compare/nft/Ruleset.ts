/** What `nft list ruleset` prints, as far as a packet's way needs it. Rules stay lists of words. */
export interface NftTable {
  readonly family: string;
  readonly name: string;
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly sets: ReadonlyMap<string, NftSet>;
}

export interface NftChain {
  readonly hook: NftHook | undefined;
  /** Each rule as words of nft's language: `ip`, `daddr`, `@cluster-ips`, `reject`. */
  readonly rules: readonly (readonly string[])[];
}

export interface NftHook {
  readonly type: string;
  readonly name: string;
  readonly priority: number;
}

export interface NftSet {
  /** Key → value words; no words in a set. Fields of a key are joined by ' . '. */
  readonly exact: ReadonlyMap<string, readonly string[]>;
  /** Comments of elements by key. */
  readonly comments: ReadonlyMap<string, string>;
  /** Elements with a prefix, a range or a wildcard in their key. */
  readonly ranges: readonly { readonly fields: readonly string[]; readonly value: readonly string[] }[];
}

/** The words of an element's key → its fields: `10.0.0.1 . tcp . 80` → three. */
export function fieldsOf(words: readonly string[]): string[] {
  const fields: string[] = [''];
  for (const word of words) {
    if (word === '.') fields.push('');
    else fields[fields.length - 1] = `${fields.at(-1)}${word}`;
  }
  return fields.map(canonicalValue);
}

/** One spelling for each value: addresses are already canonical in nft's output, numbers and names are not. */
export function canonicalValue(text: string): string {
  if (/^0x[0-9a-f]+$/i.test(text)) return String(Number(text));
  return text.replace(/^"(.*)"$/, '$1');
}

export function isRange(field: string): boolean {
  return (
    field.includes('/') || field === '*' || (/-/.test(field) && /^[0-9a-f.:]+-[0-9a-f.:]+$/i.test(field))
  );
}

/** Set elements, each as its words: key and, behind ':', the value. */
export function makeSet(elements: readonly (readonly string[])[]): NftSet {
  const exact = new Map<string, readonly string[]>();
  const comments = new Map<string, string>();
  const ranges: { fields: readonly string[]; value: readonly string[] }[] = [];
  for (const element of elements) {
    const colon = element.indexOf(':');
    const key = withoutOptions(colon < 0 ? element : element.slice(0, colon));
    const value = colon < 0 ? [] : element.slice(colon + 1);
    const fields = fieldsOf(key);
    if (fields.some(isRange)) ranges.push({ fields, value });
    else {
      exact.set(fields.join(' . '), value);
      const comment = element.indexOf('comment');
      if (comment >= 0) comments.set(fields.join(' . '), canonicalValue(element[comment + 1] ?? ''));
    }
  }
  return { exact, comments, ranges };
}

/** An element may have `comment "…"`, `timeout 3h`, `expires 2h`, `counter packets 1 bytes 2` behind its key. */
function withoutOptions(words: readonly string[]): readonly string[] {
  const at = words.findIndex((word) => /^(comment|timeout|expires|counter|limit|quota|last)$/.test(word));
  return at < 0 ? words : words.slice(0, at);
}
