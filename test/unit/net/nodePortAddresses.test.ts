/** Where node ports answer. */
import t from 'tap';
import type { IpFamily } from '../../../src/net/ip.js';
import {
  includesIpv4Loopback,
  NODE_PORT_WORDS,
  type NodePortAddresses,
  resolveNodePortAddresses,
  selectNodePortAddresses,
} from '../../../src/net/nodePortAddresses.js';
import { cidr, ip } from '../../support/builders.js';

const HOST = ['127.0.0.1', '192.168.0.2', '172.17.0.1', '::1', 'fd00:1::2'].map(ip);
const wanted = (list: 'primary' | readonly string[]): NodePortAddresses =>
  list === 'primary' ? list : list.map(cidr);

t.test('selected addresses', async (t) => {
  const cases: readonly [
    wanted: 'primary' | string[],
    family: IpFamily,
    node: string | undefined,
    expected: 'all' | string[],
  ][] = [
    [[], 'IPv4', undefined, 'all'],
    [['192.168.0.0/24'], 'IPv4', undefined, ['192.168.0.2']],
    [['192.168.0.0/16', '192.168.0.2/32', '127.0.0.0/8'], 'IPv4', undefined, ['127.0.0.1', '192.168.0.2']],
    [['192.168.0.0/24', '0.0.0.0/0'], 'IPv4', undefined, 'all'],
    [['198.51.100.0/24'], 'IPv4', undefined, []],
    // The CIDRs of the other family say nothing about this one.
    [['192.168.0.0/24'], 'IPv6', undefined, 'all'],
    [['fd00:1::/64'], 'IPv6', undefined, ['fd00:1::2']],
    ['primary', 'IPv4', '192.168.0.2', ['192.168.0.2']],
    ['primary', 'IPv6', 'fd00:1::2', ['fd00:1::2']],
    ['primary', 'IPv4', undefined, 'all'],
  ];
  for (const [list, family, node, expected] of cases) {
    const found = selectNodePortAddresses(wanted(list), family, HOST, node === undefined ? node : ip(node));
    t.same(found, expected, `${list} ${family} ${node ?? ''}`);
  }
});

t.test('whether 127.0.0.0/8 is wanted', async (t) => {
  const cases: readonly ['primary' | string[], boolean][] = [
    [[], true],
    [['0.0.0.0/0'], true],
    [['126.0.0.0/7'], true],
    [['127.0.0.1/32'], true],
    [['127.5.0.0/16'], true],
    [['192.168.0.0/24'], false],
    [['::1/128'], true],
    ['primary', false],
  ];
  for (const [list, expected] of cases) {
    t.equal(includesIpv4Loopback(wanted(list), ip('192.168.0.2')), expected, String(list));
  }
});

t.test('primary: the addresses of the node, without loopback', async (t) => {
  const addresses = { IPv4: ip('192.168.0.2'), IPv6: ip('fd00:1::2') };
  t.same(resolveNodePortAddresses('primary', addresses), ['192.168.0.2/32', 'fd00:1::2/128']);
  t.same(resolveNodePortAddresses('primary', { IPv4: ip('127.0.0.1') }), []);
  t.same(resolveNodePortAddresses([cidr('10.0.0.0/8')], addresses), ['10.0.0.0/8']);
});

t.test('the words mix with ranges', async (t) => {
  const own = { IPv4: ip('192.168.0.2'), IPv6: ip('fd00:1::2') };
  const wanted = [
    ...(NODE_PORT_WORDS.primary ?? []),
    ...(NODE_PORT_WORDS.localhost ?? []),
    cidr('10.0.0.0/8'),
  ];
  t.same(resolveNodePortAddresses(wanted, own), [
    '192.168.0.2/32',
    'fd00:1::2/128',
    '127.0.0.0/8',
    '::1/128',
    '10.0.0.0/8',
  ]);
  const host = ['192.168.0.2', '10.1.2.3', '172.17.0.1', '127.0.0.1'].map(ip);
  t.same(selectNodePortAddresses(wanted, 'IPv4', host, own.IPv4), ['192.168.0.2', '10.1.2.3', '127.0.0.1']);
  t.equal(selectNodePortAddresses(NODE_PORT_WORDS.all ?? [], 'IPv6', host, own.IPv6), 'all');
  t.ok(includesIpv4Loopback(wanted, own.IPv4));
  t.notOk(includesIpv4Loopback(['primary', cidr('10.0.0.0/8')], own.IPv4));
});
