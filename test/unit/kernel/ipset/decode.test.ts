import fc from 'fast-check';
import t from 'tap';
import { CommandAttribute } from '../../../../src/kernel/ipset/constants.js';
import { addElements, decodeHeader, decodeRange } from '../../../../src/kernel/ipset/decode.js';
import { readElement } from '../../../../src/kernel/ipset/elements.js';
import { AttributeReader } from '../../../../src/kernel/netlink/AttributeReader.js';
import { Message } from '../../../../src/kernel/netlink/Message.js';
import { fromHex } from '../../../support/hex.js';
import { IPSET } from './recorded.js';

const HEADER = new DataView(new ArrayBuffer(16));

/** Creations have the form of what the kernel lists of a set, additions that of an element. */
const PAYLOADS = Object.values(IPSET).map((hex) => fromHex(hex).slice(16));

function readAll(payload: Uint8Array): void {
  const message = new Message(HEADER, payload);
  decodeHeader(message);
  decodeRange([message], CommandAttribute.PROTOCOL);
  addElements(message, new Map());
  const attributes = message.attributes(4);
  while (attributes.next()) if (attributes.type === CommandAttribute.DATA) readElement(attributes.children());
}

t.test('elements, as they were sent', async (t) => {
  for (const [line, hex] of Object.entries(IPSET)) {
    const [, element, mark] = /^add \S+ (\S+)(?: skbmark (\S+))?$/.exec(line) ?? [];
    if (element === undefined) continue;
    const attributes = new AttributeReader(fromHex(hex), 20);
    while (attributes.next()) {
      if (attributes.type !== CommandAttribute.DATA) continue;
      const expected = { element, mark: mark === undefined ? undefined : Number(mark) };
      t.strictSame(readElement(attributes.children()), expected, line);
    }
  }
});

t.test('any bytes are read without harm', async () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), readAll));
  const change = fc.record({ at: fc.nat(120), byte: fc.nat(255) });
  fc.assert(
    fc.property(
      fc.constantFrom(...PAYLOADS),
      fc.array(change, { maxLength: 4 }),
      fc.nat(120),
      (bytes, changes, length) => {
        const broken = bytes.slice(0, Math.max(4, length));
        for (const { at, byte } of changes) if (at < broken.length) broken[at] = byte;
        readAll(broken);
      },
    ),
    { numRuns: 2000 },
  );
});
