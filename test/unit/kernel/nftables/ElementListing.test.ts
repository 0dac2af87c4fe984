/** To compare without objects comes to the same as to read every element and look it up. */
import fc from 'fast-check';
import t from 'tap';
import { Message, parseMessages } from '../../../../src/kernel/netlink/Message.js';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import { INDEX, INET_SERVICE, IPV4_ADDRESS } from '../../../../src/kernel/nftables/dataTypes.js';
import {
  CATCH_ALL,
  type CountersByKey,
  commentedValue,
  type Elements,
  gotoValue,
  writeNewElements,
} from '../../../../src/kernel/nftables/elements.js';
import { ElementDigest } from '../../../../src/kernel/nftables/listing/ElementDigest.js';
import { digestMessage, ElementListing } from '../../../../src/kernel/nftables/listing/ElementListing.js';
import type { SetSpec } from '../../../../src/kernel/nftables/SetSpec.js';

const KEY = { types: [IPV4_ADDRESS, INET_SERVICE] };
const SETS = {
  set: { name: 'cluster-ips', key: KEY },
  map: { name: 'endpoints', key: KEY, data: { types: [INDEX] }, counters: true },
  ranges: { name: 'source-ranges', key: KEY, kind: 'interval' },
  verdicts: { name: 'service-ips', key: KEY, data: 'verdict' },
} as const satisfies Record<string, SetSpec>;

type Listed = ReadonlyMap<string, string>;

const binary = (length: number) =>
  fc
    .array(fc.integer({ min: 0, max: 2 }), { minLength: length, maxLength: length })
    .map((bytes) => String.fromCharCode(...bytes));
const key = (set: SetSpec) =>
  set.kind === 'interval'
    ? binary(16)
    : fc.oneof({ weight: 20, arbitrary: binary(8) }, { weight: 1, arbitrary: fc.constant(CATCH_ALL) });
const comments = fc.constantFrom('', 'shop/cart:http', 'shop/cart');
const value = (set: SetSpec) => {
  if (set.data === undefined) return fc.constant('');
  if (set.data !== 'verdict')
    return fc.tuple(binary(4), comments).map(([data, comment]) => commentedValue(data, comment));
  const words = fc.constantFrom('cluster-1', 'cluster-12', 'external-1');
  return fc.tuple(words, comments).map(([chain, of]) => gotoValue(chain, of));
};
const elements = (set: SetSpec) =>
  fc.array(fc.tuple(key(set), value(set)), { maxLength: 60 }).map((list) => new Map(list));

function wantedOf(set: SetSpec, listed: Listed): Elements {
  return { keys: [...listed.keys()], values: set.data === undefined ? [] : [...listed.values()] };
}

/** As the kernel lists them: in messages of a few each. */
function listing(set: SetSpec, listed: Listed, perMessage: number): readonly Message[] {
  const { keys, values } = wantedOf(set, listed);
  const counters: CountersByKey = new Map(
    'counters' in set ? keys.map((each) => [each, { packets: 7, bytes: 1e12 }]) : [],
  );
  const messages: Message[] = [];
  for (let at = 0; at < keys.length; at += perMessage) {
    const writer = new MessageWriter();
    const part = { keys: keys.slice(at, at + perMessage), values: values.slice(at, at + perMessage) };
    writeNewElements(writer, 'IPv4', 'penstock', set, part, counters);
    messages.push(...parseMessages(writer.bytes().slice()).messages);
  }
  return messages;
}

for (const [name, set] of Object.entries(SETS)) {
  t.test(`compared as when each is looked up: ${name}`, async (t) => {
    fc.assert(
      fc.property(
        elements(set),
        elements(set),
        fc.boolean(),
        fc.integer({ min: 1, max: 9 }),
        (there, other, alike, per) => {
          // Alike most of the time, as in life.
          const wanted: Listed = alike ? new Map([...there, ...[...other].slice(0, 2)].slice(1)) : other;
          const { missing, changed, unwanted } = new ElementListing(listing(set, there, per)).compare(
            wantedOf(set, wanted),
          );
          const keys = [...wanted.keys()];
          t.strictSame(
            missing.map((i) => keys[i]),
            keys.filter((each) => !there.has(each)),
          );
          t.strictSame(
            changed.map((i) => keys[i]),
            keys.filter((each) => there.has(each) && there.get(each) !== wanted.get(each)),
          );
          t.strictSame(
            unwanted,
            [...there.keys()].filter((each) => !wanted.has(each)),
          );
        },
      ),
      { numRuns: 300 },
    );
  });
}

for (const [name, set] of Object.entries(SETS)) {
  t.test(`digests are equal where nothing differs: ${name}`, async (t) => {
    const digestOf = (listed: Listed) => {
      const digest = new ElementDigest();
      for (const [key, value] of listed) digest.add(key, value);
      return digest;
    };
    let [equal, differ] = [0, 0];
    fc.assert(
      fc.property(elements(set), elements(set), fc.integer({ min: 1, max: 9 }), (there, other, per) => {
        const found = new ElementDigest();
        for (const message of listing(set, there, per)) digestMessage(message, found);
        t.ok(found.equals(digestOf(new Map([...there].reverse())).toJSON()), 'in another order');
        for (const wanted of [
          other,
          new Map([...there].slice(1)),
          new Map([...there, ...[...other].slice(0, 1)]),
        ]) {
          const { missing, changed, unwanted } = new ElementListing(listing(set, there, per)).compare(
            wantedOf(set, wanted),
          );
          const isSame = missing.length + changed.length + unwanted.length === 0;
          if (isSame) equal++;
          else differ++;
          t.equal(found.equals(digestOf(wanted)), isSame);
        }
      }),
      { numRuns: 300 },
    );
    t.ok(equal > 20 && differ > 200, `${equal} and ${differ}`);
  });
}

t.test('a digest tells values that were exchanged, and where a key ends', async (t) => {
  const of = (...elements: (readonly [string, string])[]) => {
    const digest = new ElementDigest();
    for (const [key, value] of elements) digest.add(key, value);
    return digest;
  };
  t.notOk(of(['a', '1'], ['b', '2']).equals(of(['a', '2'], ['b', '1'])));
  t.notOk(of(['ab', 'c']).equals(of(['a', 'bc'])));
  t.notOk(of(['a', '1'], ['a', '1']).equals(of(['a', '1'])));
  t.notOk(of(['', '']).equals(undefined));
  t.ok(of().equals(undefined));
  // Addresses and ports that are nearly alike, as in life: of 20,000 pairs no two come to the same.
  const seen = new Set<string>();
  for (let i = 0; i < 20_000; i++)
    seen.add(JSON.stringify(of([String.fromCharCode(10, 0, i >> 8, i & 255, 0, 0, 0, 80), '\0\0\x1f\x90'])));
  t.equal(seen.size, 20_000);
});

t.test('of two that are wanted with one key, the second is missing', async (t) => {
  const there = new Map([['\u0001'.repeat(8), '\u0002'.repeat(4)]]);
  const [[only = '', its = '']] = [...there] as [[string, string]];
  const found = new ElementListing(listing(SETS.map, there, 1)).compare({
    keys: [only, only],
    values: [its, its],
  });
  t.strictSame(found, { missing: [1], changed: [], unwanted: [] });
});

t.test('whatever the bytes, it ends and reads nothing beside them', async (t) => {
  const some = new Map([
    ['\u0001'.repeat(8), '\u0002'.repeat(4)],
    ['\u0003'.repeat(8), '\u0004'.repeat(4)],
  ]);
  const [whole] = listing(SETS.map, some, 2) as [Message];
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(whole.payload.length - 1), fc.nat(255)), { maxLength: 4 }),
      fc.nat(whole.payload.length),
      (marks, end) => {
        const bytes = whole.payload.slice();
        for (const [at, byte] of marks) bytes[at] = byte;
        const message = new Message(new DataView(new ArrayBuffer(16)), bytes.subarray(0, end));
        const { missing, changed } = new ElementListing([message]).compare(wantedOf(SETS.map, some));
        t.ok(missing.length + changed.length <= 2);
      },
    ),
    { numRuns: 3000 },
  );
});
