import { readFileSync } from 'node:fs';
import t from 'tap';
import {
  processRegistry,
  readAddressSpaceLimit,
  readNetworkBytes,
} from '../../../../src/observe/metrics/processMetrics.js';
import { parseMetrics, seriesValue } from '../parseMetrics.js';

const NETSTAT =
  'TcpExt: SyncookiesSent SyncookiesRecv\nTcpExt: 0 1\n' +
  'IpExt: InNoRoutes InOctets OutOctets InMcastOctets\nIpExt: 1 3475716 3437240 9\n';

t.test('bytes of the network, by the names of their columns', async (t) => {
  t.strictSame(readNetworkBytes(NETSTAT), { received: 3475716, sent: 3437240 });
  t.equal(readNetworkBytes(''), undefined);
  t.equal(readNetworkBytes('IpExt: InNoRoutes\nIpExt: 1\n'), undefined, 'a kernel without them');
});

t.test('the limit of the address space', async (t) => {
  const head = 'Limit                     Soft Limit           Hard Limit           Units     \n';
  const line = (soft: string) =>
    `${head}Max address space         ${soft}            unlimited            bytes     \n`;
  t.equal(readAddressSpaceLimit(line('unlimited')), 2 ** 64);
  t.equal(readAddressSpaceLimit(line('1073741824')), 1_073_741_824);
  t.equal(readAddressSpaceLimit(''), undefined);
});

t.test('on this machine', async (t) => {
  const registry = processRegistry();
  const received = () => readNetworkBytes(readFileSync('/proc/self/net/netstat', 'utf8'))?.received ?? 0;
  const least = received();
  await registry.metrics();
  const page = parseMetrics(await registry.metrics());
  const told = seriesValue(page, 'process_network_receive_bytes_total') ?? -1;
  t.ok(told >= least && told <= received(), 'what is read twice is not added up');
  t.ok((seriesValue(page, 'process_virtual_memory_max_bytes') ?? 0) > 0);
});

t.test('there is one, however many agents a process has had', async (t) => {
  t.equal(processRegistry(), processRegistry());
});
