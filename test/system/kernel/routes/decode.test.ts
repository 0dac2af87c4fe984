import fc from 'fast-check';
import t from 'tap';
import { NetlinkProtocol } from '../../../../src/kernel/netlink/constants.js';
import { Message } from '../../../../src/kernel/netlink/Message.js';
import { NetlinkChannel } from '../../../../src/kernel/netlink/NetlinkChannel.js';
import { Addresses, decodeAddress } from '../../../../src/kernel/routes/Addresses.js';
import type { AddressChange } from '../../../../src/kernel/routes/LinkChange.js';
import { decodeLink, Links } from '../../../../src/kernel/routes/Links.js';
import type { IpAddress } from '../../../../src/net/ip.js';
import { fromHex } from '../../../support/hex.js';
import { inNetns } from '../../../support/inNetns.js';
import { IP } from '../../../unit/kernel/routes/recorded.js';

const HEADER = new DataView(new ArrayBuffer(16));

t.test('any bytes are read without harm', async () => {
  const readAll = (payload: Uint8Array) => {
    const message = new Message(HEADER, payload);
    decodeLink(message);
    decodeAddress(message);
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), readAll));
  const real = fc.constantFrom(...Object.values(IP).map((hex) => fromHex(hex).slice(16)));
  const change = fc.record({ at: fc.nat(60), byte: fc.nat(255) });
  fc.assert(
    fc.property(real, fc.array(change, { maxLength: 4 }), fc.nat(60), (bytes, changes, length) => {
      const broken = bytes.slice(0, length);
      for (const { at, byte } of changes) if (at < broken.length) broken[at] = byte;
      readAll(broken);
    }),
    { numRuns: 2000 },
  );
});

if (await inNetns(import.meta.url)) {
  // Links of kind dummy are in test/system/vm/: not every kernel that runs these tests has them.
  t.test('the loopback link of this kernel', async (t) => {
    const channel = NetlinkChannel.open(NetlinkProtocol.ROUTE);
    t.teardown(() => channel.close());
    const links = new Links(channel);
    const addresses = new Addresses(channel);
    const lo = await links.find('lo');
    if (lo === undefined) throw new Error('no link lo');
    t.match(lo, { name: 'lo', index: 1, kind: undefined, isUp: false });
    t.equal(await links.find('absent'), undefined);
    t.strictSame(await links.commit([{ action: 'set up', link: lo }]), []);
    t.match(await links.find('lo'), { isUp: true });

    const change = (action: AddressChange['action'], address: string): AddressChange => ({
      action,
      link: lo,
      address: address as IpAddress,
    });
    t.strictSame(
      await addresses.commit([change('add address', '10.0.0.1'), change('add address', 'fd00::1')]),
      [],
    );
    t.strictSame(new Set(await addresses.list(lo, 'IPv4')), new Set(['127.0.0.1', '10.0.0.1']));
    t.strictSame(new Set(await addresses.list(lo, 'IPv6')), new Set(['::1', 'fd00::1']));
    t.strictSame(await addresses.list({ ...lo, index: 99 }, 'IPv4'), []);
    const refused = await addresses.commit([
      change('add address', '10.0.0.1'),
      change('delete address', '10.0.0.1'),
      change('delete address', '10.0.0.1'),
      { ...change('add address', '10.0.0.1'), link: { ...lo, index: 99 } },
    ]);
    t.strictSame(
      refused.map(({ error }) => error.message.replace(/ \(.*/, '')),
      [
        'addr add 10.0.0.1/32 dev lo: EEXIST',
        'addr del 10.0.0.1/32 dev lo: EADDRNOTAVAIL',
        'addr add 10.0.0.1/32 dev lo: ENODEV',
      ],
    );
  });
}
