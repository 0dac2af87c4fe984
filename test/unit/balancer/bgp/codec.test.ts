/** Bytes of BGP: as RFC 4271, 4760, 4724 and 6793 lay them out. */
import fc from 'fast-check';
import t from 'tap';
import { AdjRibOut, type RibForm, type Route } from '../../../../src/balancer/bgp/AdjRibOut.js';
import { BgpError, decodeOpen, MessageStream } from '../../../../src/balancer/bgp/decode.js';
import {
  encodeAnnouncements,
  encodeEndOfRib,
  encodeKeepalive,
  encodeNotification,
  encodeOpen,
  encodeWithdrawals,
} from '../../../../src/balancer/bgp/encode.js';
import { parseCommunityText } from '../../../../src/balancer/objects/communities.js';
import type { Cidr } from '../../../../src/net/ip.js';
import { cidr, ip } from '../../../support/builders.js';
import { fromHex, toHex } from '../../../support/hex.js';

const MARKER = 'ff'.repeat(16);
const external = { asn: 64_513, internal: false, fourOctetAs: true };
const communities = ['65000:7', 'large:65000:1:2']
  .map((text) => parseCommunityText(text))
  .filter((each) => each !== undefined);
const hex = (messages: readonly Uint8Array[]) => messages.map(toHex);
const plain = (spaced: string) => spaced.replaceAll(' ', '');

t.test('OPEN', async (t) => {
  const open = encodeOpen({
    asn: 4_200_000_001,
    holdTime: 90,
    identifier: ip('192.0.2.1'),
    capabilities: { families: ['IPv4', 'IPv6'], gracefulRestart: { restarted: true, seconds: 30 } },
  });
  t.equal(
    toHex(open),
    plain(
      `${MARKER} 003f 01 04 5ba0 005a c0000201 22 02 20 010400010001 010400020001 0200 4104fa56ea01 400a801e 00010180 00020180`,
    ),
  );
  const bare = encodeOpen({ asn: 65_000, holdTime: 0, identifier: ip('192.0.2.1'), capabilities: undefined });
  t.equal(toHex(bare), plain(`${MARKER} 001d 01 04 fde8 0000 c0000201 00`));
  t.match(decodeOpen(open.subarray(19)), {
    asn: 4_200_000_001,
    holdTime: 90,
    identifier: '192.0.2.1',
    fourOctetAs: true,
    families: ['IPv4', 'IPv6'],
    routeRefresh: true,
    restartSeconds: 30,
    restarted: true,
  });
  t.match(decodeOpen(bare.subarray(19)), {
    asn: 65_000,
    fourOctetAs: false,
    families: ['IPv4'],
    restartSeconds: undefined,
  });
});

t.test('routes of both families', async (t) => {
  t.same(
    hex(
      encodeAnnouncements(
        [cidr('10.0.0.1/32'), cidr('10.1.0.0/20')],
        { nextHop: ip('192.0.2.1'), localPref: undefined, communities },
        'IPv4',
        external,
      ),
    ),
    [
      plain(
        `${MARKER} 004a 02 0000 002a 400101 00 400206 0201 0000fc01 400304 c0000201 c00804 fde80007 c0200c 0000fde80000000100000002 20 0a000001 14 0a0100`,
      ),
    ],
  );
  t.same(
    hex(
      encodeAnnouncements(
        [cidr('fd00::1/128')],
        { nextHop: ip('2001:db8::1'), localPref: undefined, communities: [] },
        'IPv6',
        external,
      ),
    ),
    [
      plain(
        `${MARKER} 004d 02 0000 0036 800e26 0002 01 10 20010db8000000000000000000000001 00 80 fd000000000000000000000000000001 400101 00 400206 0201 0000fc01`,
      ),
    ],
  );
  const internal = { ...external, internal: true };
  t.match(
    hex(
      encodeAnnouncements(
        [cidr('10.0.0.1/32')],
        { nextHop: ip('192.0.2.1'), localPref: undefined, communities: [] },
        'IPv4',
        internal,
      ),
    )[0],
    /400200.*40050400000064/,
    'iBGP: no AS in the path, LOCAL_PREF 100',
  );
  const old = { asn: 4_200_000_001, internal: false, fourOctetAs: false };
  t.match(
    hex(
      encodeAnnouncements(
        [cidr('10.0.0.1/32')],
        { nextHop: ip('192.0.2.1'), localPref: undefined, communities: [] },
        'IPv4',
        old,
      ),
    )[0],
    /40020402015ba0.*c011060201fa56ea01/,
    'AS_TRANS, and the true one in AS4_PATH',
  );
  t.same(hex(encodeWithdrawals([cidr('10.0.0.1/32')], 'IPv4')), [
    plain(`${MARKER} 001c 02 0005 200a000001 0000`),
  ]);
  t.same(hex(encodeWithdrawals([cidr('fd00::1/128')], 'IPv6')), [
    plain(`${MARKER} 002e 02 0000 0017 800f14 000201 80 fd000000000000000000000000000001`),
  ]);
  t.equal(toHex(encodeEndOfRib('IPv4')), plain(`${MARKER} 0017 02 0000 0000`));
  t.equal(toHex(encodeEndOfRib('IPv6')), plain(`${MARKER} 001d 02 0000 0006 800f03 000201`));
  t.equal(toHex(encodeNotification(6, 2)), plain(`${MARKER} 0015 03 0602`));
});

t.test('many prefixes take few messages, none longer than 4096 bytes', async (t) => {
  for (const family of ['IPv4', 'IPv6'] as const) {
    const prefixes = Array.from({ length: 5000 }, (_, i) =>
      family === 'IPv4' ? cidr(`10.${i >> 8}.${i & 255}.1/32`) : cidr(`fd00::${i.toString(16)}:1/128`),
    );
    const nextHop = ip(family === 'IPv4' ? '192.0.2.1' : '2001:db8::1');
    for (const messages of [
      encodeAnnouncements(prefixes, { nextHop, localPref: undefined, communities }, family, external),
      encodeWithdrawals(prefixes, family),
    ]) {
      t.ok(messages.every(({ length }) => length <= 4096));
      const bytes = messages.reduce((sum, { length }) => sum + length, 0);
      const own = 5000 * (family === 'IPv4' ? 5 : 17);
      t.ok(bytes >= own && bytes < own * 1.05, `${bytes} bytes for ${own} of prefixes`);
    }
  }
});

t.test('a stream is cut into messages wherever it is cut', async () => {
  const all = [
    encodeKeepalive(),
    encodeEndOfRib('IPv6'),
    encodeNotification(6, 4, Uint8Array.of(1, 2, 3)),
    encodeKeepalive(),
  ];
  const bytes = Buffer.concat(all);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30 })), (sizes) => {
      const stream = new MessageStream();
      const got: number[] = [];
      let at = 0;
      for (const size of [...sizes, bytes.length]) {
        for (const { type } of stream.push(bytes.subarray(at, at + size))) got.push(type);
        at += size;
      }
      return got.join() === '4,2,3,4';
    }),
  );
});

t.test('what cannot be understood', async (t) => {
  const refuses = (read: () => unknown, wanted: { readonly errorCode: number; readonly subcode: number }) => {
    try {
      read();
      t.fail(`${JSON.stringify(wanted)} is not found`);
    } catch (error) {
      t.match(error, wanted);
    }
  };
  const push = (text: string) => [...new MessageStream().push(fromHex(plain(text)))];
  refuses(() => push(`${'00'.repeat(16)} 0013 04`), { errorCode: 1, subcode: 1 });
  refuses(() => push(`${MARKER} 0012 04`), { errorCode: 1, subcode: 2 });
  refuses(() => push(`${MARKER} 0014 04 00`), { errorCode: 1, subcode: 2 });
  refuses(() => push(`${MARKER} 1001 02`), { errorCode: 1, subcode: 2 });
  refuses(() => push(`${MARKER} 0013 09`), { errorCode: 1, subcode: 3 });
  const open = (text: string) => () => decodeOpen(fromHex(plain(text)));
  refuses(open('03 fde8 005a c0000201 00'), { errorCode: 2, subcode: 1 });
  refuses(open('04 fde8 0002 c0000201 00'), { errorCode: 2, subcode: 6 });
  refuses(open('04 fde8 005a 00000000 00'), { errorCode: 2, subcode: 3 });
  refuses(open('04 fde8 005a c0000201 03 010100'), { errorCode: 2, subcode: 4 });
  refuses(open('04 fde8 005a c0000201 02 020400'), { errorCode: 2, subcode: 0 });
  refuses(open('04 fde8 005a c0000201 04 02024104'), { errorCode: 2, subcode: 0 });
  t.match(open('04 fde8 005a c0000201 06 0204 46024142')(), { asn: 65_000 }, 'an unknown capability');
  t.match(
    open('04 fde8 005a c0000201 ff ff 0009 02 0006 4104fa56ea01')(),
    { asn: 4_200_000_001 },
    'RFC 9072',
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      for (const read of [() => decodeOpen(bytes), () => [...new MessageStream().push(bytes)]]) {
        try {
          read();
        } catch (error) {
          if (!(error instanceof BgpError)) throw error;
        }
      }
    }),
    { numRuns: 2000 },
  );
});

t.test('only differences are told', async (t) => {
  const form: RibForm = { ...external, nextHops: { IPv4: ip('192.0.2.1'), IPv6: ip('2001:db8::1') } };
  const route = (prefix: string, fields: Partial<Route> = {}): Route => ({
    prefix: cidr(prefix),
    localPref: undefined,
    communities: [],
    ...fields,
  });
  const rib = new AdjRibOut();
  rib.want([route('10.0.0.1/32'), route('fd00::1/128')]);
  t.equal(rib.update(form).length, 2);
  t.equal(rib.update(form).length, 0);
  rib.want([route('10.0.0.1/32', { communities }), route('10.0.0.2/32')]);
  t.equal(rib.update(form).length, 3, 'one withdrawn, one with other attributes, one new');
  t.equal(rib.size, 2);
  rib.forget('IPv6');
  t.equal(rib.update(form).length, 0);
  rib.forget();
  t.equal(
    rib.update({ ...form, nextHops: { IPv6: ip('2001:db8::1') } }).length,
    0,
    'without a next hop nothing is told',
  );
  t.equal(rib.size, 0);
});

t.test('after any changes the router knows what is wanted', async () => {
  const prefixes = ['10.0.0.1/32', '10.0.0.2/32', '10.0.0.0/24', 'fd00::1/128', 'fd00::/64'].map(cidr);
  const routes = fc.subarray(prefixes);
  const form: RibForm = { ...external, nextHops: { IPv4: ip('192.0.2.1'), IPv6: ip('2001:db8::1') } };
  fc.assert(
    fc.property(fc.array(routes, { maxLength: 6 }), (steps) => {
      const rib = new AdjRibOut();
      const known = new Set<string>();
      for (const wanted of steps) {
        rib.want(wanted.map((prefix) => ({ prefix, localPref: undefined, communities: [] })));
        for (const message of rib.update(form)) applyTo(known, message);
        if ([...known].sort().join() !== [...wanted].sort().join())
          throw new Error(`${[...known]} instead of ${wanted}`);
      }
    }),
  );
});

/** A router in the plainest way: prefixes of an UPDATE. */
function applyTo(known: Set<string>, message: Uint8Array): void {
  const view = new DataView(message.buffer, message.byteOffset);
  const withdrawn = view.getUint16(19);
  for (const prefix of readPrefixes(message.subarray(21, 21 + withdrawn), 4)) known.delete(prefix);
  const attributes = view.getUint16(21 + withdrawn);
  const from = 23 + withdrawn;
  for (let at = from; at < from + attributes; ) {
    const extended = ((message[at] ?? 0) & 0x10) !== 0;
    const length = extended ? view.getUint16(at + 2) : (message[at + 2] ?? 0);
    const value = message.subarray(at + (extended ? 4 : 3), at + (extended ? 4 : 3) + length);
    if (message[at + 1] === 14)
      for (const prefix of readPrefixes(value.subarray(5 + (value[3] ?? 0)), 16)) known.add(prefix);
    if (message[at + 1] === 15)
      for (const prefix of readPrefixes(value.subarray(3), 16)) known.delete(prefix);
    at += (extended ? 4 : 3) + length;
  }
  for (const prefix of readPrefixes(message.subarray(from + attributes), 4)) known.add(prefix);
}

function readPrefixes(bytes: Uint8Array, size: 4 | 16): Cidr[] {
  const found: Cidr[] = [];
  for (let at = 0; at < bytes.length; ) {
    const bits = bytes[at] ?? 0;
    const length = Math.ceil(bits / 8);
    const address = new Uint8Array(size);
    address.set(bytes.subarray(at + 1, at + 1 + length));
    const text =
      size === 4
        ? address.join('.')
        : Array.from({ length: 8 }, (_, i) =>
            (((address[i * 2] ?? 0) << 8) | (address[i * 2 + 1] ?? 0)).toString(16),
          ).join(':');
    found.push(cidr(`${text}/${bits}`));
    at += 1 + length;
  }
  return found;
}
