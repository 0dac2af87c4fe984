/** Messages of nf_tables at random, also those that the kernel refuses, for holding the model against it. */
import fc from 'fast-check';
import { MessageFlag } from '../../../src/kernel/netlink/constants.js';
import { INET_SERVICE, IPV4_ADDRESS } from '../../../src/kernel/nftables/dataTypes.js';
import { DESTINATION_PORT, FIELDS } from '../../../src/kernel/nftables/fields.js';
import { destinationNatTo } from '../../../src/kernel/nftables/queueing.js';
import type { SetSpec } from '../../../src/kernel/nftables/SetSpec.js';
import {
  DROP,
  destinationNat,
  goTo,
  inSet,
  jumpTo,
  MASQUERADE,
  type Rule,
  redirect,
  reject,
  setMark,
  updateMap,
  verdictMap,
} from '../../../src/kernel/nftables/statements.js';
import type { IpAddress } from '../../../src/net/ip.js';

export const IPV4 = 2;
export const TABLES = ['one', 'two'] as const;
export const CHAINS = ['a', 'b', 'c', 'd', 'prerouting', 'postrouting', 'forward'] as const;

const { destinationAddress, sourceAddress } = FIELDS.IPv4;
const ADDRESS = { types: [IPV4_ADDRESS] };
const PLACE = { types: [IPV4_ADDRESS, INET_SERVICE] };

/** Declarations of each name: the first as rules want it, then others. */
export const SETS = {
  verdicts: [
    { key: ADDRESS, data: 'verdict', size: 3 },
    { key: ADDRESS, data: 'verdict', size: 5 },
    { key: ADDRESS, data: 'verdict' },
  ],
  values: [
    { key: ADDRESS, data: PLACE, size: 2 },
    { key: ADDRESS, data: PLACE, counters: true, size: 4 },
  ],
  members: [{ key: ADDRESS, counters: true }, { key: ADDRESS }, { key: ADDRESS, size: 1, counters: true }],
  learned: [{ key: ADDRESS, data: ADDRESS, kind: 'dynamic', size: 3 }],
  ranges: [{ key: PLACE, kind: 'interval' }],
} as const satisfies Readonly<Record<string, readonly Omit<SetSpec, 'name'>[]>>;
export type SetName = keyof typeof SETS;
const SET_NAMES = Object.keys(SETS) as SetName[];

export const RULES: readonly Rule[] = [
  [DROP],
  [setMark(0x4000), goTo('a')],
  [jumpTo('b')],
  [jumpTo('c')],
  [goTo('d')],
  [goTo('prerouting')],
  [verdictMap([destinationAddress], 'verdicts')],
  [inSet([destinationAddress], 'is', 'members'), DROP],
  [inSet([destinationAddress, DESTINATION_PORT], 'is not', 'ranges'), DROP],
  [destinationNat('IPv4', [destinationAddress], 'values')],
  [updateMap('learned', { key: [sourceAddress], data: [destinationAddress], seconds: 60 })],
  [MASQUERADE],
  [redirect(80)],
  [destinationNatTo('IPv4', '10.0.0.9' as IpAddress, 8080)],
  [reject('IPv4')],
];

/** `goto a`, `jump b`, `jump c`, and the rule that looks up verdicts. */
const GOTO_RULE = 1;
const JUMP_RULE = 2;
const JUMP_ON_RULE = 3;
const LOOKUP_RULE = 6;

export type Command =
  | { readonly do: 'add table'; readonly flags: number; readonly dormant: boolean | undefined }
  | { readonly do: 'delete table'; readonly flags: number }
  | {
      readonly do: 'add chain';
      readonly chain: string;
      readonly flags: number;
      readonly hook: 'its own' | 'another' | 'none';
      readonly policy: number | undefined;
    }
  | { readonly do: 'delete chain'; readonly chain: string; readonly flags: number }
  | {
      readonly do: 'add rule';
      readonly chain: string;
      readonly rule: number;
      readonly flags: number;
      /** Which rule of the chain it goes beside, or in the place of. */
      readonly beside: number | undefined;
    }
  | { readonly do: 'delete rule'; readonly chain: string; readonly which: number | undefined }
  | { readonly do: 'add set'; readonly set: SetName; readonly variant: number; readonly flags: number }
  | { readonly do: 'delete set'; readonly set: SetName; readonly flags: number }
  | {
      readonly do: 'add elements';
      readonly set: SetName;
      readonly elements: readonly ElementDraft[];
      readonly flags: number;
    }
  | { readonly do: 'delete elements'; readonly set: SetName; readonly elements: readonly ElementDraft[] };

export interface ElementDraft {
  readonly key: number;
  readonly end: number;
  readonly value: number;
  /** Has a comment. */
  readonly named: boolean;
  readonly counts: boolean;
  readonly timeout: number | undefined;
}

export interface Batch {
  readonly table: (typeof TABLES)[number];
  readonly commands: readonly Command[];
  readonly isComplete: boolean;
  /** How far the generation that it asks for is from the present one; undefined: it asks for none. */
  readonly generation: number | undefined;
}

const { CREATE, EXCLUSIVE, REPLACE, NON_RECURSIVE, APPEND } = MessageFlag;
const creating = fc.constantFrom(CREATE, CREATE, CREATE, CREATE, CREATE | EXCLUSIVE, 0, CREATE | REPLACE);
const deleting = fc.constantFrom(0, 0, 0, NON_RECURSIVE);
const chain = fc.constantFrom(...CHAINS);
const set = fc.constantFrom(...SET_NAMES);
const elementDraft: fc.Arbitrary<ElementDraft> = fc.record({
  key: fc.nat(5),
  end: fc.nat(5),
  value: fc.nat(4),
  named: fc.boolean(),
  counts: fc.nat(4).map((n) => n === 0),
  timeout: fc.nat(6).map((n) => (n === 0 ? 3_600_000 : undefined)),
});
const elementDrafts = fc.array(elementDraft, { minLength: 1, maxLength: 3 });
const nth = fc.option(fc.nat(2), { nil: undefined, freq: 2 });

export const commands: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('add table'),
      flags: creating,
      dormant: fc.constantFrom(undefined, undefined, false, true),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete table'), flags: deleting }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('add chain'),
      chain,
      flags: creating,
      hook: fc.constantFrom('its own', 'its own', 'its own', 'another', 'none'),
      policy: fc.constantFrom(undefined, undefined, undefined, 0, 1, 7),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete chain'), chain, flags: deleting }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('add rule'),
      chain,
      rule: fc.nat(RULES.length - 1),
      flags: fc.constantFrom(CREATE | APPEND, CREATE | APPEND, CREATE, 0, REPLACE),
      beside: nth,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete rule'), chain, which: nth }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('add set'),
      set,
      variant: fc.constantFrom(0, 0, 0, 0, 1, 2),
      flags: creating,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete set'), set, flags: deleting }) },
  {
    weight: 7,
    arbitrary: fc.record({ do: fc.constant('add elements'), set, elements: elementDrafts, flags: creating }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('delete elements'),
      set,
      elements: fc.oneof(elementDrafts, elementDrafts, fc.constant([])),
    }),
  },
);

/** Every chain and set, so that much of what follows finds something. */
const BEGINNING: Omit<Batch, 'table'> = {
  commands: [
    { do: 'add table', flags: CREATE, dormant: undefined },
    ...CHAINS.map(
      (name): Command => ({
        do: 'add chain',
        chain: name,
        flags: CREATE,
        hook: 'its own',
        policy: undefined,
      }),
    ),
    ...SET_NAMES.map((name): Command => ({ do: 'add set', set: name, variant: 0, flags: CREATE })),
    addRule('prerouting', LOOKUP_RULE),
    addRule('prerouting', JUMP_RULE),
  ],
  isComplete: true,
  generation: undefined,
};
export const beginnings = fc.constantFrom(...TABLES).map((table): Batch => ({ table, ...BEGINNING }));

/** Rules in a circle. */
export const LOOP = {
  beginning: { table: 'one', ...BEGINNING },
  batch: {
    ...BEGINNING,
    table: 'one',
    commands: [addRule('c', GOTO_RULE), addRule('a', JUMP_RULE), addRule('b', JUMP_ON_RULE), addRule('d', 0)],
  },
} as const satisfies Readonly<Record<string, Batch>>;

function addRule(name: string, rule: number): Command {
  return { do: 'add rule', chain: name, rule, flags: CREATE | APPEND, beside: undefined };
}

export const batches: fc.Arbitrary<Batch> = fc.record({
  table: fc.constantFrom(...TABLES),
  commands: fc.array(commands, { minLength: 1, maxLength: 5 }),
  isComplete: fc.nat(9).map((n) => n > 0),
  generation: fc.constantFrom(undefined, undefined, undefined, 0, 1),
});
