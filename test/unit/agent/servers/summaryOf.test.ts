import t from 'tap';
import { summaryOf } from '../../../../src/agent/servers/summaryOf.js';
import type { IpFamily } from '../../../../src/net/ip.js';
import type { HealthState } from '../../../../src/observe/http/HealthServer.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';

const config = { mode: 'nftables', sync: { period: 1000, minPeriod: 0 } } as const;

function state(over: Partial<HealthState>): HealthState {
  const families = new Map([['IPv4' as const, { updated: 0, pendingSince: undefined }]]);
  return { families, ready: true, reason: '', nodeEligible: true, contacts: [], ...over };
}

function tableOf(...names: readonly string[]) {
  const ports = new Map(
    names.map((name, i) => [String(i), { namespace: 'shop', service: name } as ServicePort]),
  );
  return { servicePorts: (_: IpFamily) => ports };
}

t.test('how the agent does', async (t) => {
  t.equal(summaryOf(state({}), config, tableOf(), 0), 'Serving 0 Services in mode nftables');
  t.equal(
    summaryOf(state({}), config, tableOf('a', 'a'), 0),
    'Serving 1 Service in mode nftables',
    'two ports, two families',
  );
  t.equal(summaryOf(state({}), config, tableOf('a', 'b'), 0), 'Serving 2 Services in mode nftables');
  const late = state({ families: new Map([['IPv6', { updated: 0, pendingSince: 1000 }]]) });
  t.equal(summaryOf(late, config, tableOf('a'), 2999), 'Serving 1 Service in mode nftables');
  t.match(
    summaryOf(late, config, tableOf('a'), 3000),
    /^Serving 1 Service in mode nftables; changes are not in force/,
  );
  t.equal(
    summaryOf(state({ ready: false, reason: 'waiting for x' }), config, tableOf(), 0),
    'Not serving: waiting for x',
  );
});
