/** What the model of nf_tables holds, and what the kernel finds wrong with it as a whole. */
import { constants } from 'node:os';
import type { Errno } from './ModelSocket.js';

const { EMLINK, EOPNOTSUPP } = constants.errno;

/** Where a rule or an element sends packets. */
export interface ModelVerdict {
  readonly code: number;
  readonly chain?: ModelChain;
}

export interface ModelHook {
  readonly type: string;
  readonly number: number;
  readonly priority: number;
}

export interface ModelChain {
  readonly table: ModelTable;
  readonly name: string;
  readonly handle: number;
  readonly hook: ModelHook | undefined;
  policy: number;
  /** Also those that the transaction under way has deleted: they still are places beside which others go. */
  readonly rules: ModelRule[];
  /** Rules and elements that go here, its own rules not counted. */
  references: number;
}

export interface ModelRule {
  readonly chain: ModelChain;
  readonly handle: number;
  /** Content of NFTA_RULE_EXPRESSIONS. */
  readonly expressions: Uint8Array;
  readonly userData: Uint8Array | undefined;
  readonly jumps: readonly ModelVerdict[];
  readonly sets: readonly ModelSet[];
  /** Expressions that are allowed in some chains only. */
  readonly picky: readonly PickyExpression[];
  isDeleted: boolean;
}

export interface SetDeclaration {
  readonly flags: number;
  readonly keyType: number;
  readonly keyLength: number;
  readonly dataType: number;
  readonly dataLength: number;
  readonly fieldLengths: readonly number[];
  readonly timeout: number;
  /** Names of the expressions of each element. */
  readonly counts: boolean;
}

export interface ModelSet extends SetDeclaration {
  readonly table: ModelTable;
  readonly name: string;
  readonly handle: number;
  readonly userData: Uint8Array | undefined;
  /** 0: as many as there is memory for. */
  size: number;
  /** Rules that look things up in it or add to it. */
  references: number;
  /** By key, and by both ends of a range. */
  readonly elements: Map<string, ModelElement>;
}

export interface ModelCounter {
  readonly packets: number;
  readonly bytes: number;
}

export interface ModelElement {
  readonly key: string;
  /** Empty where there are no ranges. */
  readonly keyEnd: string;
  readonly value: string | ModelVerdict | undefined;
  /** What nft writes there for itself, as comments are. */
  readonly userData: Uint8Array | undefined;
  readonly counter: ModelCounter | undefined;
  /** Milliseconds; 0: for ever. */
  readonly timeout: number;
  /** On the model's clock. */
  readonly expires: number;
}

export interface ModelTable {
  readonly family: number;
  readonly name: string;
  readonly handle: number;
  flags: number;
  readonly chains: Map<string, ModelChain>;
  readonly sets: Map<string, ModelSet>;
  /** Handles of what is in it are counted up. */
  lastHandle: number;
}

/** In the order in which they were made, as the kernel lists them; undoing a transaction turns that of a Map. */
export function inOrder<Item extends { readonly handle: number }>(items: ReadonlyMap<string, Item>): Item[] {
  return [...items.values()].sort((a, b) => a.handle - b.handle);
}

export function livingRules({ rules }: ModelChain): ModelRule[] {
  return rules.filter(({ isDeleted }) => !isDeleted);
}

/** NF_INET_*. */
const [PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING] = [0, 1, 2, 3, 4];

/** Expression → the type of the base chains from which it may be reached, and their hooks. */
const PLACES = {
  'nat destination': { type: 'nat', hooks: [PREROUTING, OUTPUT] },
  'nat source': { type: 'nat', hooks: [POSTROUTING, INPUT] },
  masq: { type: 'nat', hooks: [POSTROUTING] },
  redir: { type: 'nat', hooks: [PREROUTING, OUTPUT] },
  reject: { type: undefined, hooks: [INPUT, FORWARD, OUTPUT, PREROUTING] },
} as const;
export type PickyExpression = keyof typeof PLACES;

/** NFT_JUMP_STACK_SIZE. */
const DEEPEST = 16;

/** As nft_table_validate(): from each base chain along every way that packets can take. 0 when nothing is wrong. */
export function validateTable(table: ModelTable): Errno {
  for (const chain of table.chains.values()) {
    if (!chain.hook) continue;
    const errno = validateChain(chain, chain.hook, 0, new Map());
    if (errno !== 0) return errno;
  }
  return 0;
}

/** `seen`: chains that were found good, by the depth at which they were. */
function validateChain(
  chain: ModelChain,
  hook: ModelHook,
  depth: number,
  seen: Map<ModelChain, number>,
): Errno {
  if (depth === DEEPEST) return EMLINK;
  if ((seen.get(chain) ?? -1) >= depth) return 0;
  for (const rule of livingRules(chain)) {
    for (const name of rule.picky) {
      const { type, hooks } = PLACES[name];
      if ((type ?? hook.type) !== hook.type || !hooks.some((each) => each === hook.number)) return EOPNOTSUPP;
    }
    for (const next of targetsOf(rule)) {
      const errno = validateChain(next, hook, depth + 1, seen);
      if (errno !== 0) return errno;
    }
  }
  seen.set(chain, depth);
  return 0;
}

function* targetsOf(rule: ModelRule): Iterable<ModelChain> {
  for (const { chain } of rule.jumps) if (chain) yield chain;
  for (const set of rule.sets) {
    for (const { value } of set.elements.values()) {
      if (typeof value === 'object' && value.chain) yield value.chain;
    }
  }
}
