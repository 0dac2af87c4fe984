/** What kube-ipvs0 is on a real kernel: a link of kind dummy with thousands of addresses. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import { Addresses } from '../../../src/kernel/routes/Addresses.js';
import type { Link } from '../../../src/kernel/routes/Link.js';
import type { AddressChange } from '../../../src/kernel/routes/LinkChange.js';
import { Links } from '../../../src/kernel/routes/Links.js';
import { printAddressChange } from '../../../src/kernel/routes/printChange.js';
import type { IpAddress } from '../../../src/net/ip.js';
import { inVm } from '../../support/inVm.js';

const NAME = 'penstock-test0';

if (await inVm(import.meta.url)) {
  const channel = NetlinkChannel.open(NetlinkProtocol.ROUTE);
  t.teardown(() => channel.close());
  const links = new Links(channel);
  const addresses = new Addresses(channel);

  async function made(): Promise<Link> {
    const link = await links.find(NAME);
    if (link === undefined) throw new Error(`${NAME} was not made`);
    return link;
  }

  t.test('made, set up and deleted', async (t) => {
    t.equal(await links.find(NAME), undefined);
    t.strictSame(await links.commit([{ action: 'add dummy', name: NAME }]), []);
    t.match(await links.commit([{ action: 'add dummy', name: NAME }]), [{ error: { code: 'EEXIST' } }]);
    const link = await made();
    t.match(link, { name: NAME, kind: 'dummy', isUp: false });
    t.match(spawnSync('ip', ['-d', 'link', 'show', NAME], { encoding: 'utf8' }).stdout, /dummy/);
    t.strictSame(await links.commit([{ action: 'set up', link }]), []);
    t.match(await made(), { isUp: true });
    t.strictSame(await links.commit([{ action: 'delete link', link }]), []);
    t.match(await links.commit([{ action: 'delete link', link }]), [
      { error: { code: 'ENODEV', message: `link del ${NAME}` } },
    ]);
    t.equal(await links.find(NAME), undefined);
  });

  t.test('thousands of addresses', async (t) => {
    await links.commit([{ action: 'add dummy', name: NAME }]);
    const link = await made();
    const wanted = Array.from({ length: 2000 }, (_, i) => `10.1.${i >> 8}.${i & 255}` as IpAddress);
    const add = wanted.map((address): AddressChange => ({ action: 'add address', link, address }));
    t.strictSame(await addresses.commit(add), []);
    t.strictSame(new Set(await addresses.list(link, 'IPv4')), new Set(wanted));

    // What ip makes of our text is the same.
    const remove = add.map((change): AddressChange => ({ ...change, action: 'delete address' }));
    t.strictSame(await addresses.commit(remove), []);
    t.strictSame(await addresses.list(link, 'IPv4'), []);
    const input = `${add.map(printAddressChange).join('\n')}\n`;
    t.equal(spawnSync('ip', ['-batch', '-'], { input }).status, 0);
    t.strictSame(new Set(await addresses.list(link, 'IPv4')), new Set(wanted));

    const six = ['fd00::1', 'fd00::2'] as IpAddress[];
    t.strictSame(
      await addresses.commit(six.map((address) => ({ action: 'add address', link, address }))),
      [],
    );
    t.strictSame(new Set(await addresses.list(link, 'IPv6')), new Set(six));
    t.strictSame(await links.commit([{ action: 'delete link', link }]), []);
  });
}
