/** A selftest must fail when the kernel does not do what explain says; and say it to people and to programs. */
import t from 'tap';
import type { Cell } from '../../../../src/cli/see/selftest/Cell.js';
import { cellsOf } from '../../../../src/cli/see/selftest/cellsOf.js';
import { checkCell } from '../../../../src/cli/see/selftest/checkCell.js';
import type { DialAnswer } from '../../../../src/cli/see/selftest/dial.js';
import { junit, reportOf, reportText } from '../../../../src/cli/see/selftest/Report.js';
import type { Explanation } from '../../../../src/explain/explain.js';
import type { ServiceRow } from '../../../../src/observe/admin/serviceRows.js';

const CELL: Cell = {
  mode: 'nftables',
  client: 'pod',
  servicePort: 'shop/<cart>:http',
  family: 'IPv4',
  protocol: 'TCP',
  vip: 'cluster IP',
  policy: 'Cluster',
  target: { host: '10.96.0.10', port: 80, protocol: 'TCP' },
};
const ENDPOINTS = ['10.244.0.11:8080', '10.244.0.12:8080'];

function explanation(change: Partial<Explanation> = {}): Explanation {
  const candidate = (endpoint: string) => ({
    endpoint,
    pod: '',
    node: '',
    gets: true,
    share: 0.5,
    masquerade: endpoint === ENDPOINTS[1],
    out: '',
  });
  const known: Partial<Explanation> = {
    outcome: 'endpoint',
    reason: 'forwarded',
    because: 'because',
    remedy: 'do this',
    endpoints: ENDPOINTS,
    candidates: ENDPOINTS.map(candidate),
    affinitySeconds: null,
    notes: [],
    client: { address: '10.244.0.11', is: 'pod', name: '' },
  };
  return { ...known, ...change } as Explanation;
}

function check(answers: readonly DialAnswer[], change: Partial<Explanation> = {}) {
  let next = 0;
  return checkCell(CELL, {
    dial: async () => answers[next++ % answers.length] as DialAnswer,
    explain: async () => explanation(change),
    endpointsSpeak: true,
    nodeAddresses: ['192.0.2.1'],
  });
}

const said = (text: string): DialAnswer => ({ type: 'answered', text: `${text}\n` });
const FIRST = said('10.244.0.11:8080 10.244.0.11');
const SECOND = said('10.244.0.12:8080 192.0.2.1');

t.test('as explained: passed', async (t) => {
  t.match(await check([FIRST, SECOND]), { result: 'passed', connections: 2 });
  t.match(await check([FIRST], { affinitySeconds: 60 }), { result: 'passed', connections: 4 });
  t.match(await check([{ type: 'refused' }], { outcome: 'refused' }), { result: 'passed', connections: 1 });
  t.match(await check([{ type: 'silent' }], { outcome: 'dropped' }), { result: 'passed' });
  t.match(await check([{ type: 'forbidden' }], { outcome: 'dropped' }), { result: 'passed' });
  t.match(await check([], { outcome: 'not-a-service' }), { result: 'skipped', connections: 0 });
  t.match(
    await check([], { reason: 'asleep', endpoints: [], notes: ['it waits, and wakes unit/web.service'] }),
    {
      result: 'skipped',
      connections: 0,
      says: /would wake it: it waits, and wakes unit/,
    },
  );
});

t.test('otherwise: failed, with what was seen and what explain says', async (t) => {
  const faults: readonly [readonly DialAnswer[], Partial<Explanation>, RegExp][] = [
    [[{ type: 'refused' }], {}, /must reach an endpoint, and was refused/],
    [[{ type: 'silent' }], {}, /got no answer/],
    [[{ type: 'broken', why: 'ECONNRESET' }], {}, /broke \(ECONNRESET\)/],
    [[{ type: 'forbidden' }], {}, /not let out/],
    [[FIRST], { outcome: 'refused' }, /must be refused, and was answered by 10\.244\.0\.11:8080/],
    [[{ type: 'silent' }], { outcome: 'refused' }, /must be refused, and got no answer/],
    [[{ type: 'refused' }], { outcome: 'dropped' }, /must be dropped, and was refused/],
    [[said('10.244.9.9:8080 10.244.0.11')], {}, /reached 10\.244\.9\.9:8080, which is none of/],
    [[said('10.244.0.11:8080 192.0.2.1')], {}, /must see 10\.244\.0\.11, and saw 192\.0\.2\.1/],
    [[said('10.244.0.12:8080 10.244.0.11')], {}, /must see the node's address, and saw 10\.244\.0\.11/],
    [[FIRST], {}, /24 connections all went to 10\.244\.0\.11:8080, although 2/],
    [[FIRST, SECOND], { affinitySeconds: 60 }, /although affinity is asked for/],
  ];
  for (const [answers, change, says] of faults) {
    const result = await check(answers, change);
    t.match(result, { result: 'failed', says });
  }
  const silent = await check([{ type: 'refused' }]);
  t.match(
    silent.says,
    '10.244.0.11:8080, asked directly, was refused; 10.244.0.12:8080, asked directly, was refused',
  );
  t.match(silent.remedy, /Not the Service but the endpoint/);
  const past = await check([{ type: 'silent' }, FIRST, SECOND]);
  t.match(past.remedy, /The endpoints answer past the Service/);
  t.equal((await check([FIRST], { outcome: 'refused' })).remedy, 'do this');
  t.match((await check([{ type: 'refused' }])).explain, /2 endpoints may get it: 10\.244\.0\.11:8080/);
});

t.test('the report names what failed, on 80 columns, and JUnit is well-formed', async (t) => {
  const failed = await check([{ type: 'refused' }]);
  const disruption = {
    mode: 'nftables' as const,
    disruption: 'restart',
    milliseconds: 10,
    connects: 100,
    failed: 0,
    held: 10,
    broken: 0,
    reasons: [],
  };
  const found = {
    where: 'namespaces',
    cells: [failed, { ...CELL, ...(await check([FIRST, SECOND])) }],
    notes: [],
  };
  const report = reportOf({ ...found, disruptions: [disruption], milliseconds: 1 });
  t.equal(report.passed, false);
  t.same(report.counts, { passed: 1, failed: 1, skipped: 0 });
  const text = reportText(report);
  t.ok(text.every((line) => line.length <= 80));
  t.match(text.join('\n'), /FAILED pod → shop\/<cart>:http, cluster IP 10\.96\.0\.10:80\/TCP/);
  const xml = junit(report);
  t.match(xml, /tests="3" failures="1" errors="0" skipped="0"/);
  t.match(xml, /name="pod → shop\/&lt;cart&gt;:http/);
  t.notMatch(xml, /<cart>/);
  const broken = reportOf({
    ...found,
    cells: [],
    disruptions: [{ ...disruption, broken: 1 }],
    milliseconds: 1,
  });
  t.equal(broken.passed, false, 'a connection that breaks is a failure');
});

t.test('a cell for each client, VIP and family', async (t) => {
  const row = {
    service: 'shop/cart',
    portName: 'http',
    protocol: 'TCP',
    port: 80,
    nodePort: 30080,
    clusterIPs: ['10.96.0.10', 'fd00::10'],
    externalIPs: ['203.0.113.1'],
    loadBalancerIPs: [],
    internalPolicy: 'Local',
    externalPolicy: 'Cluster',
    affinitySeconds: 10,
  } as Partial<ServiceRow> as ServiceRow;
  const options = {
    mode: 'nftables',
    clients: ['node', 'outside'],
    nodeAddresses: { IPv4: '192.0.2.1', IPv6: '2001:db8::1' },
    families: ['IPv4', 'IPv6'],
  } as const;
  const cells = cellsOf(row, options);
  const names = cells.map(({ client, vip, target }) => `${client} ${vip} ${target.host}:${target.port}`);
  t.strictSame(names, [
    'node cluster IP 10.96.0.10:80',
    'node cluster IP fd00::10:80',
    'node node port 192.0.2.1:30080',
    'outside node port 192.0.2.1:30080',
    'node node port 2001:db8::1:30080',
    'outside node port 2001:db8::1:30080',
    'node external IP 203.0.113.1:80',
    'outside external IP 203.0.113.1:80',
  ]);
  t.equal(cells[0]?.policy, 'internal Local, affinity');
  t.equal(cellsOf(row, { ...options, families: ['IPv4'] }).length, 5);
  t.same(cellsOf({ ...row, protocol: 'SCTP' }, options), []);
});
