/** Whose a virtual server is. */
import t from 'tap';
import type { SetName } from '../../../../../src/dataplane/ipvs/desired/sets.js';
import { ownServers } from '../../../../../src/dataplane/ipvs/kernel/ownership.js';
import { type VirtualServerId, virtualServerKey } from '../../../../../src/kernel/ipvs/VirtualServer.js';
import { cidr, ip } from '../../../../support/builders.js';

const at = (address: string, port: number, protocol: 'TCP' | 'UDP' | 'SCTP' = 'TCP'): VirtualServerId => ({
  family: 'IPv4',
  protocol,
  address: ip(address),
  port,
});
const SERVERS = [
  at('10.96.0.1', 80),
  at('10.96.0.1', 81),
  at('192.0.2.1', 30080),
  at('192.0.2.1', 30080, 'SCTP'),
  { family: 'IPv4', mark: 0x70000001 },
  { family: 'IPv4', mark: 7 },
] as const;

function ours(sets: Partial<Record<SetName, string[]>>, excluded: string[] = [], known = ''): string[] {
  const elements = Object.entries(sets).map(
    ([name, list]) => [name as SetName, new Map(list.map((element) => [element, undefined]))] as const,
  );
  const options = { excludeCIDRs: excluded.map(cidr) };
  return [...ownServers(SERVERS, new Map(elements), options, (key) => key === known)];
}

t.test('on a fresh node nothing is ours, whatever there is', async (t) => {
  t.strictSame(ours({}), []);
  t.strictSame(ours({ 'PENSTOCK-SERVERS': [], 'KUBE-IPVS-IPS': [] }), []);
});

t.test('the record decides, and what we remember', async (t) => {
  const record = {
    'PENSTOCK-SERVERS': ['10.96.0.1,tcp:80', '112.0.0.1,tcp:0'],
    'KUBE-IPVS-IPS': ['10.96.0.1'],
  };
  t.strictSame(ours({ ...record, 'KUBE-CLUSTER-IP': ['10.96.0.1,tcp:81'] }), [
    '10.96.0.1:80/TCP',
    'mark 0x70000001 (IPv4)',
  ]);
  t.strictSame(ours({}, [], virtualServerKey(SERVERS[1])), ['10.96.0.1:81/TCP']);
});

t.test('without a record, what the sets of kube-proxy list is taken over', async (t) => {
  const stock = {
    'KUBE-IPVS-IPS': ['10.96.0.1'],
    'KUBE-CLUSTER-IP': ['10.96.0.1,tcp:80'],
    'KUBE-NODE-PORT-TCP': ['30080'],
    'KUBE-NODE-PORT-SCTP-HASH': ['192.0.2.1,sctp:30080'],
  };
  t.strictSame(ours(stock), ['10.96.0.1:80/TCP', '192.0.2.1:30080/TCP', '192.0.2.1:30080/SCTP']);
  t.strictSame(ours(stock, ['10.96.0.0/16']), ['192.0.2.1:30080/TCP', '192.0.2.1:30080/SCTP']);
});
