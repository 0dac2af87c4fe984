/** Addresses and prefixes: one canonical text for each. */
import { isIP } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { contains } from '../../../src/explain/addresses.js';
import {
  bytesToIp,
  type Cidr,
  cidrContains,
  familyOf,
  type IpAddress,
  ipToBytes,
  isLoopback,
  joinHostPort,
  parseCidr,
  parseIp,
  prefixLength,
} from '../../../src/net/ip.js';

t.test('canonical forms', async (t) => {
  const cases: readonly [string, string][] = [
    ['10.0.0.1', '10.0.0.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['010.000.00.08', '10.0.0.8'],
    ['::', '::'],
    ['::1', '::1'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['FD00::ABCD', 'fd00::abcd'],
    ['fd00:0:0:1:0:0:0:1', 'fd00:0:0:1::1'],
    ['fd00:0:0:1:1:0:0:1', 'fd00::1:1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1::', '1::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['0001:0002::0003', '1:2::3'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
    ['::ffff:102:304', '::ffff:1.2.3.4'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ];
  for (const [text, expected] of cases) t.equal(parseIp(text), expected, text);
});

t.test('what is no address', async (t) => {
  const texts = [
    '',
    ' ',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.',
    '.1.2.3',
    '1..2.3',
    '1.2.3.256',
    '1.2.3.-4',
    '1.2.3.4 ',
    '0x1.2.3.4',
    '1.2.3.4/32',
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8',
    '1::2::3',
    '::12345',
    '::g',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    '1.2.3.4::',
    '::1.2.3',
    '::1.2.3.4:5',
    'fe80::1%eth0',
    '[::1]',
    'localhost',
  ];
  for (const text of texts) t.equal(parseIp(text), undefined, JSON.stringify(text));
});

const v4Bytes = fc.uint8Array({ minLength: 4, maxLength: 4 });
/** Many zeros, as in real addresses. */
const v6Bytes = fc
  .array(fc.constantFrom(0, 0, 0, 1, 0xfd, 0xff), { minLength: 16, maxLength: 16 })
  .map((list) => Uint8Array.from(list));

t.test('bytes to text and back', async () => {
  fc.assert(
    fc.property(fc.oneof(v4Bytes, v6Bytes), (bytes) => {
      const text = bytesToIp(bytes);
      if (parseIp(text) !== text) throw new Error(`${text} is not canonical`);
      if (Buffer.compare(ipToBytes(text), bytes) !== 0) throw new Error(`${text} is not ${bytes}`);
      if (isIP(text) !== (bytes.length === 4 ? 4 : 6)) throw new Error(`node does not read ${text}`);
    }),
    { numRuns: 500 },
  );
});

t.test('IPv6 texts as the URL parser writes them', async () => {
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const canonical = parseIp(text);
      const byUrl = new URL(`http://[${text}]`).hostname.slice(1, -1);
      // Only the IPv4-mapped ones differ in spelling.
      const same = canonical?.startsWith('::ffff:') ? parseIp(byUrl) : byUrl;
      if (canonical !== same) throw new Error(`${text}: ${canonical}, not ${byUrl}`);
    }),
    { numRuns: 500 },
  );
});

t.test('wrong numbers of bytes', async (t) => {
  t.throws(() => bytesToIp(new Uint8Array(5)), RangeError);
  t.throws(() => ipToBytes('not an address' as IpAddress), TypeError);
});

t.test('prefixes', async (t) => {
  const cases: readonly [string, string | undefined][] = [
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['10.1.2.3/32', '10.1.2.3/32'],
    ['10.1.2.3/0', '0.0.0.0/0'],
    ['10.1.255.3/17', '10.1.128.0/17'],
    ['10.0.0.0/08', '10.0.0.0/8'],
    ['fd00:1:2:3::1/48', 'fd00:1:2::/48'],
    ['fd00::ffff/127', 'fd00::fffe/127'],
    ['FD00::1/0', '::/0'],
    ['10.0.0.0', undefined],
    ['10.0.0.0/33', undefined],
    ['fd00::/129', undefined],
    ['10.0.0.0/', undefined],
    ['10.0.0.0/-1', undefined],
    ['10.0.0.0/8/8', undefined],
    ['10.0.0/8', undefined],
    ['/8', undefined],
    ['', undefined],
  ];
  for (const [text, expected] of cases) t.equal(parseCidr(text), expected, text);
  t.equal(prefixLength('10.0.0.0/8' as Cidr), 8);
});

t.test('what a prefix contains, as node says', async () => {
  const pairs = fc.oneof(fc.tuple(v4Bytes, v4Bytes), fc.tuple(v6Bytes, v6Bytes));
  fc.assert(
    fc.property(pairs, fc.nat(128), fc.boolean(), ([a, b], bits, near) => {
      const length = bits % (a.length * 8 + 1);
      const prefix = parseCidr(`${bytesToIp(a)}/${length}`) as Cidr;
      const other = near ? a.with(a.length - 1, b[0] as number) : b;
      const address = bytesToIp(other);
      // Mapped addresses are IPv4 to node.
      if (`${prefix}${address}`.includes('::ffff:')) return;
      if (cidrContains(prefix, address) !== contains(prefix, address))
        throw new Error(`${address} in ${prefix}`);
    }),
    { numRuns: 500 },
  );
});

t.test('a prefix contains nothing of the other family', async (t) => {
  t.notOk(cidrContains('0.0.0.0/0' as Cidr, '::1' as IpAddress));
  t.notOk(cidrContains('::/0' as Cidr, '10.0.0.1' as IpAddress));
});

t.test('small helpers', async (t) => {
  t.equal(familyOf('10.0.0.1' as IpAddress), 'IPv4');
  t.equal(familyOf('fd00::/64' as Cidr), 'IPv6');
  t.ok(isLoopback('127.1.2.3' as IpAddress));
  t.ok(isLoopback('::1' as IpAddress));
  t.notOk(isLoopback('128.0.0.1' as IpAddress));
  t.equal(joinHostPort('10.0.0.1' as IpAddress, 80), '10.0.0.1:80');
  t.equal(joinHostPort('fd00::1' as IpAddress, 80), '[fd00::1]:80');
});
