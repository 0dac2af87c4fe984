import fc from 'fast-check';
import t from 'tap';
import type { AttributeReader } from '../../../../src/kernel/netlink/AttributeReader.js';
import { parseMessages } from '../../../../src/kernel/netlink/Message.js';
import { readOutcome } from '../../../../src/kernel/netlink/readOutcome.js';
import { fromHex } from '../../../support/hex.js';
import {
  IP_LINK_EXISTS,
  IP_MTU_TOO_SMALL,
  NFACCT_ADDED,
  NFACCT_LIST,
  NFACCT_LIST_DONE,
  NFT_ABSENT,
  NFT_TRANSACTION,
} from './recorded.js';

/** The only message of a recorded datagram. */
function only(datagram: Uint8Array) {
  const { messages, fault } = parseMessages(datagram);
  if (fault !== undefined || messages[0] === undefined) throw new Error(fault ?? 'no message');
  return messages[0];
}

t.test('reads a recorded object', async (t) => {
  const message = only(NFACCT_LIST);
  t.match(message, { type: 0x0700, flags: 2, sequence: 0x6b038137, portId: 0x599c });
  const attributes = message.attributes(4);
  const read: unknown[] = [];
  while (attributes.next()) {
    const { type } = attributes;
    read.push([
      type,
      type === 1 ? attributes.string() : type === 4 ? attributes.u32be() : attributes.u64be(),
    ]);
  }
  t.strictSame(read, [
    [1, 'penstock_test'],
    [2, 0],
    [3, 0],
    [4, 1],
  ]);
  t.equal(attributes.malformed, false);
});

t.test('reads nested attributes of a recorded transaction', async (t) => {
  const { messages, fault } = parseMessages(NFT_TRANSACTION);
  t.equal(fault, undefined);
  t.strictSame(
    messages.map(({ type, sequence }) => [type, sequence]),
    [
      [0x10, 0],
      [0x0a00, 1],
      [0x0a09, 2],
      [0x0a0c, 3],
      [0x11, 4],
    ],
  );
  const attributes = messages[3]?.attributes(4);
  const enter = (reader: AttributeReader | undefined, type: number) => {
    while (reader?.next()) if (reader.type === type) return reader.children();
    return undefined;
  };
  const data = enter(enter(enter(attributes, 3), 1), 2);
  t.equal(data?.next(), true);
  t.strictSame(data?.bytes(), fromHex('0af400051f900000'));
  t.equal(data?.next(), false);
});

t.test('outcomes', async (t) => {
  const cases = [
    { name: 'acknowledged', datagram: NFACCT_ADDED, expected: { errno: 0 } },
    { name: 'end of a dump', datagram: NFACCT_LIST_DONE, expected: { errno: 0 } },
    { name: 'refused, with the place', datagram: NFT_ABSENT, expected: { errno: -2, offset: 20 } },
    { name: 'refused, without extended ACK', datagram: IP_LINK_EXISTS, expected: { errno: -17 } },
    {
      name: 'refused, with words',
      datagram: IP_MTU_TOO_SMALL,
      expected: { errno: -22, kernelText: 'mtu less than device minimum' },
    },
    {
      name: 'refused, request capped (NETLINK_CAP_ACK)',
      datagram: fromHex(
        `34000000 0200 0003 01000000 00000000 eaffffff 20000000 00000000 00000000 00000000
        0a000100 68656c6c6f000000 00000000`.replace(/00000000$/, '04000300'),
      ),
      expected: { errno: -22, kernelText: 'hello' },
    },
    {
      name: 'no room for the number',
      datagram: fromHex('12000000 0200 0000 01000000 00000000 eaff'),
      expected: { errno: -74 },
    },
    {
      name: 'attributes promised beyond the end',
      datagram: fromHex('24000000 0200 0002 01000000 00000000 eaffffff ffffffff 00000000 00000000 00000000'),
      expected: { errno: -22 },
    },
  ];
  for (const { name, datagram, expected } of cases) t.strictSame(readOutcome(only(datagram)), expected, name);
});

t.test('malformed datagrams keep their good messages', async (t) => {
  const good = '10000000 0000 0000 00000000 00000000';
  const cases = [
    { name: 'nothing', hex: '', messages: 0, faulty: false },
    { name: 'one', hex: good, messages: 1, faulty: false },
    {
      name: 'last message without padding',
      hex: `${good} 11000000 0000 0000 00000000 00000000 aa`,
      messages: 2,
      faulty: false,
    },
    { name: 'header cut off', hex: `${good} 10000000`, messages: 1, faulty: true },
    { name: 'length 0', hex: `${good} 00000000 0000 0000 00000000 00000000`, messages: 1, faulty: true },
    {
      name: 'length below the header',
      hex: `0f000000 0000 0000 00000000 00000000`,
      messages: 0,
      faulty: true,
    },
    { name: 'length beyond the end', hex: `11000000 0000 0000 00000000 00000000`, messages: 0, faulty: true },
    {
      name: 'length of 2^32 - 1',
      hex: `${good} ffffffff 0000 0000 00000000 00000000`,
      messages: 1,
      faulty: true,
    },
  ];
  for (const { name, hex, messages, faulty } of cases) {
    const parsed = parseMessages(fromHex(hex));
    t.equal(parsed.messages.length, messages, name);
    t.equal(parsed.fault !== undefined, faulty, `${name}: fault`);
  }
});

t.test('malformed attributes', async (t) => {
  const reader = (hex: string, familyHeader = 0) =>
    only(
      fromHex(`${(16 + hex.replaceAll(' ', '').length / 2).toString(16).padStart(2, '0')}000000
      0000 0000 00000000 00000000 ${hex}`),
    ).attributes(familyHeader);
  const cases = [
    { name: 'none', hex: '', types: [], malformed: false },
    { name: 'without content', hex: '04000100 04000200', types: [1, 2], malformed: false },
    { name: 'flag bits are no part of the type', hex: '04000180 04000240', types: [1, 2], malformed: false },
    { name: 'last one without padding', hex: '05000100 aa', types: [1], malformed: false },
    { name: 'length 0', hex: '04000100 00000000', types: [1], malformed: true },
    { name: 'length 3', hex: '03000100', types: [], malformed: true },
    { name: 'length beyond the end', hex: '09000100 00000000', types: [], malformed: true },
    { name: 'header cut off', hex: '04000100 0400', types: [1], malformed: true },
  ];
  for (const { name, hex, types, malformed } of cases) {
    const attributes = reader(hex);
    const seen: number[] = [];
    while (attributes.next()) seen.push(attributes.type);
    t.strictSame(seen, types, name);
    t.equal(attributes.malformed, malformed, `${name}: malformed`);
  }
  t.equal(reader('', 4).malformed, true, 'family header cut off');

  const wrong = reader('06000100 12340000 04000200');
  wrong.next();
  t.equal(wrong.u32be(), 0, 'a value of another size reads as 0');
  t.equal(wrong.malformed, true);
  t.equal(wrong.next(), false, 'and ends the walk');

  const outer = reader('08000180 03000000 04000200');
  outer.next();
  const inner = outer.children();
  t.equal(inner.next(), false);
  t.equal(outer.malformed, true, 'a fault inside is a fault of the whole');

  const text = reader('07000100 616263 00');
  text.next();
  t.equal(text.string(), 'abc', 'a string without NUL ends with its attribute');
});

/** Reads all there is, in every way, as deep as it goes. */
function readEverything(reader: AttributeReader, depth: number): void {
  while (reader.next()) {
    reader.string();
    reader.bytes();
    const { length } = reader;
    if (length === 1) reader.u8();
    else if (length === 2) reader.u16();
    else if (length === 4) reader.u32be();
    else if (length === 8) reader.u64be();
    else if (depth > 0) readEverything(reader.children(), depth - 1);
  }
}

function readDatagram(datagram: Uint8Array): void {
  for (const message of parseMessages(datagram).messages) {
    readOutcome(message);
    readEverything(message.attributes(0), 8);
    readEverything(message.attributes(4), 8);
    readEverything(message.attributes(24), 8);
  }
}

t.test('no bytes make the reader throw or loop', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), readDatagram), { numRuns: 2000 }),
  );
  const recorded = [
    NFT_TRANSACTION,
    NFACCT_LIST,
    NFT_ABSENT,
    IP_MTU_TOO_SMALL,
    IP_LINK_EXISTS,
    NFACCT_LIST_DONE,
  ];
  const mutation = fc.record({ at: fc.nat(400), value: fc.nat(255) });
  const mutated = fc.record({
    datagram: fc.constantFrom(...recorded),
    mutations: fc.array(mutation, { minLength: 1, maxLength: 6 }),
    cut: fc.nat(400),
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(mutated, ({ datagram, mutations, cut }) => {
        const bytes = datagram.slice(0, Math.max(1, datagram.length - (cut % 8)));
        for (const { at, value } of mutations) bytes[at % bytes.length] = value;
        readDatagram(bytes);
      }),
      { numRuns: 5000 },
    ),
  );
});
