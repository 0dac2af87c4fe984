/** Which of a host's addresses is the node's own. */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { primaryAddress } from '../../../../src/kernel/host/hostAddresses.js';
import { inNetns } from '../../../support/inNetns.js';

const ip = (words: string) => execFileSync('ip', words.split(' '));

if (await inNetns(import.meta.url)) {
  t.test('the address towards the default route, whatever else there is', async (t) => {
    t.equal(await primaryAddress('IPv4'), undefined, 'no address at all');
    ip('link set lo up');
    t.equal(await primaryAddress('IPv6'), undefined, 'loopback is nobody');
    ip('link add name eth0 type veth peer name eth1');
    ip('link add name pods type bridge');
    for (const address of ['192.0.2.5/24', '198.51.100.5/24']) ip(`addr add ${address} dev eth0`);
    // The kernel lists the newest IPv6 address first.
    for (const address of ['2001:db8::5/64', '2001:db8:1::5/64']) ip(`addr add ${address} dev eth0 nodad`);
    ip('addr add 10.244.0.1/24 dev pods');
    ip('addr add fd00:244::1/64 dev pods nodad');
    for (const name of ['eth0', 'eth1', 'pods']) ip(`link set ${name} up`);
    ip('route add default via 192.0.2.1');
    ip('-6 route add default via 2001:db8::1');
    t.equal(await primaryAddress('IPv4'), '192.0.2.5');
    t.equal(await primaryAddress('IPv6'), '2001:db8::5', 'in the range of the gateway');
    ip('-6 route del default');
    ip('-6 route add default via fe80::1 dev eth0');
    t.match(await primaryAddress('IPv6'), /^2001:db8:/, 'behind a link-local gateway');
  });
}
