import fc from 'fast-check';
import t from 'tap';
import { EntryDecoder } from '../../../../src/kernel/conntrack/decodeEntry.js';
import { getRequest, putDelete } from '../../../../src/kernel/conntrack/requests.js';
import { MESSAGE_HEADER } from '../../../../src/kernel/netlink/constants.js';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import { ip } from '../../../support/builders.js';
import { toHex } from '../../../support/hex.js';
import { GET_UDP, ICMP, TCP_IN_ZONE_5, UDP_IPV6, UDP_WITH_NAT } from './recorded.js';

const decode = (payload: Uint8Array) => new EntryDecoder().decode(payload);

t.test('what the kernel lists', async (t) => {
  t.strictSame(decode(UDP_WITH_NAT), {
    original: {
      family: 'IPv4',
      protocol: 17,
      source: '10.0.0.1',
      destination: '10.96.0.10',
      sourcePort: 1001,
      destinationPort: 53,
    },
    reply: {
      family: 'IPv4',
      protocol: 17,
      source: '10.244.1.5',
      destination: '10.0.0.1',
      sourcePort: 5353,
      destinationPort: 1001,
    },
    status: 0x1a8,
    id: 0x83d1c50b,
    zone: 0,
    tcpState: undefined,
    bytes: undefined,
  });
  t.match(decode(UDP_IPV6), {
    original: { family: 'IPv6', source: 'fd00::1', destination: 'fd00:96::10', destinationPort: 53 },
    reply: { family: 'IPv6', source: 'fd00:96::10', sourcePort: 53, destination: 'fd00::1' },
    status: 8,
  });
  t.match(decode(TCP_IN_ZONE_5), { original: { protocol: 6 }, zone: 5, tcpState: 1, id: 0xc0b22bb2 });
  t.equal(decode(ICMP), undefined, 'it has no ports');
});

t.test('one decoder for many messages', async (t) => {
  const decoder = new EntryDecoder();
  const recordings = [UDP_WITH_NAT, UDP_IPV6, TCP_IN_ZONE_5, UDP_IPV6, ICMP, UDP_WITH_NAT];
  for (const recording of recordings) t.strictSame(decoder.decode(recording), decode(recording));
});

t.test('the zone of one direction counts', async (t) => {
  const decoded = decode(insertIntoTuple(UDP_WITH_NAT, Uint8Array.of(6, 0, 3, 0, 0, 7, 0, 0)));
  t.match(decoded, { zone: 7, original: { sourcePort: 1001 }, reply: { sourcePort: 5353 } });
});

t.test('requests are those of the conntrack tool', async (t) => {
  const entry = decode(UDP_WITH_NAT);
  if (entry === undefined) throw new Error('the recording is not read');
  t.equal(toHex(getRequest(entry.original).bytes().subarray(MESSAGE_HEADER)), toHex(GET_UDP));
  const writer = new MessageWriter();
  putDelete(writer, entry);
  t.equal(toHex(writer.bytes().subarray(MESSAGE_HEADER)), `${toHex(GET_UDP)}08000c0083d1c50b`);
  writer.clear();
  putDelete(writer, { ...entry, zone: 5 });
  t.match(toHex(writer.bytes()), /0600120000050000/);
  const v6 = {
    ...entry.original,
    family: 'IPv6',
    source: ip('fd00::1'),
    destination: ip('fd00::2'),
  } as const;
  t.match(toHex(getRequest(v6).bytes()), /14000300fd00.{28}14000400fd00/);
});

t.test('random and truncated bytes', async (t) => {
  const recordings = [UDP_WITH_NAT, UDP_IPV6, TCP_IN_ZONE_5, ICMP];
  for (const recording of recordings) {
    for (let length = 0; length < recording.length; length++) decode(recording.subarray(0, length));
  }
  t.equal(decode(UDP_WITH_NAT.subarray(0, 60)), undefined, 'one direction is missing');
  t.equal(decode(new Uint8Array()), undefined);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      decode(bytes);
    }),
    { numRuns: 2000 },
  );
  let read = 0;
  let unread = 0;
  const edits = fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.constantFrom(...recordings), edits, (recording, changes) => {
      const bytes = recording.slice();
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      if (decode(bytes) === undefined) unread++;
      else read++;
    }),
    { numRuns: 5000 },
  );
  t.ok(read > 100 && unread > 100, `${read} were read, ${unread} were not`);
});

/** The recording with one more attribute at the end of its CTA_TUPLE_ORIG, the first attribute. */
function insertIntoTuple(recording: Uint8Array, attribute: Uint8Array): Uint8Array {
  const start = 4;
  const end = start + (recording[start] ?? 0);
  const bytes = Buffer.concat([recording.subarray(0, end), attribute, recording.subarray(end)]);
  bytes[start] = end - start + attribute.length;
  return bytes;
}
