/** Addresses of a network namespace, as they come and go. */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { HostAddressWatch } from '../../../../src/kernel/routes/HostAddressWatch.js';
import { inNetns } from '../../../support/inNetns.js';
import { eventually } from '../../../support/iptables.js';

const ip = (words: string) => execFileSync('ip', words.split(' '));

if (await inNetns(import.meta.url)) {
  t.test('addresses are followed, each once, without link-local ones', async (t) => {
    ip('link set lo up');
    ip('link add name eth1 type veth peer name eth2');
    ip('link set eth1 up');
    ip('link set eth2 up');
    ip('addr add 192.0.2.1/24 dev eth1');
    ip('addr add fe80::1234/64 dev eth1 nodad');
    const watch = await HostAddressWatch.open();
    t.teardown(() => watch.close());
    let changes = 0;
    watch.onChange = () => {
      changes++;
    };
    t.same([...watch.addresses].sort(), ['127.0.0.1', '192.0.2.1', '::1']);

    ip('addr add 198.51.100.7/32 dev eth2');
    ip('addr add 2001:db8::7/64 dev eth2 nodad');
    t.ok(await eventually(async () => watch.addresses.includes('2001:db8::7' as never)));
    t.same([...watch.addresses].sort(), ['127.0.0.1', '192.0.2.1', '198.51.100.7', '2001:db8::7', '::1']);
    t.equal(changes, 2);

    ip('addr add 192.0.2.1/32 dev eth2');
    ip('addr del 192.0.2.1/24 dev eth1');
    ip('addr del 198.51.100.7/32 dev eth2');
    t.ok(await eventually(async () => !watch.addresses.includes('198.51.100.7' as never)));
    t.ok(watch.addresses.includes('192.0.2.1' as never), 'it is on another interface still');
    t.equal(changes, 3, 'an address on a second interface changes nothing');

    const before = watch.addresses;
    ip('addr change 2001:db8::7/64 dev eth2 valid_lft 1000 preferred_lft 900');
    ip('addr add 203.0.113.1/32 dev eth2');
    t.ok(await eventually(async () => watch.addresses.includes('203.0.113.1' as never)));
    t.equal(changes, 4, 'a renewed lifetime is no change');
    t.not(watch.addresses, before);

    watch.lost();
    t.ok(await eventually(async () => changes === 5), 'after a loss all is read again');
    t.equal(watch.addresses.length, 5);
  });
}
