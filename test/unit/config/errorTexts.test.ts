import t from 'tap';
import { errorLines, runArguments, runFile } from './runCommand.js';

t.test('all faults of a file come at once, in the order of its lines', (t) => {
  const text = `mode: iptables
iptables:
  minSyncPeriodd: 1s
  syncPeriod: 5
masqueradeBit: 3
mode: ipvs
nodePortAddresses: [5, foo]
oomScoreAdj: 9999
ipvs: {foo: 1}
`;
  t.strictSame(
    errorLines(() => runFile(text)),
    [
      'proxy.yaml:5: iptables.minSyncPeriodd is not a known field; did you mean iptables.minSyncPeriod?',
      'proxy.yaml:6: iptables.syncPeriod must be a duration such as "30s", "250ms" or "1h0m0s", not 5',
      'proxy.yaml:7: masqueradeBit is not a known field; did you mean iptables.masqueradeBit or nftables.masqueradeBit?',
      'proxy.yaml:8: mode is given twice, first on line 3',
      'proxy.yaml:9: nodePortAddresses[0] must be text, not 5',
      'proxy.yaml:9: nodePortAddresses[1] must be an address range such as 10.0.0.0/8 or fd00::/64, not "foo"',
      'proxy.yaml:10: oomScoreAdj must be within -1000..1000, not 9999',
      'proxy.yaml:11: ipvs.foo is not a known field; the fields here are syncPeriod, minSyncPeriod, scheduler, excludeCIDRs, strictARP, tcpTimeout, tcpFinTimeout, udpTimeout',
    ],
  );
  t.end();
});

t.test('what is no KubeProxyConfiguration', (t) => {
  const cases: readonly (readonly [string, ...string[]])[] = [
    [
      'mode: ipvs',
      '1: apiVersion is missing: it must be "kubeproxy.config.k8s.io/v1alpha1"',
      '1: kind is missing: it must be "KubeProxyConfiguration"',
    ],
    [
      'kind: Service\napiVersion: v1',
      '1: kind must be "KubeProxyConfiguration", not "Service"',
      '2: apiVersion must be "kubeproxy.config.k8s.io/v1alpha1", not "v1"',
    ],
    ['[1, 2]', '1: the configuration must be a block of fields, not [1,2]'],
    ['text', '1: the configuration must be a block of fields, not "text"'],
  ];
  for (const [text, ...expected] of cases) {
    t.strictSame(
      errorLines(() => runFile(text, { header: '' })),
      expected.map((line) => `proxy.yaml:${line}`),
      text,
    );
  }
  t.end();
});

t.test('text that is no YAML, and YAML that is not taken', (t) => {
  t.match(
    errorLines(() => runFile('mode: [ipvs\n')).join('\n'),
    /^proxy\.yaml:\d: the configuration is not valid YAML: /,
  );
  t.match(errorLines(() => runFile('mode: ipvs\n---\nmode: ipvs\n')).join('\n'), /not valid YAML/);
  t.strictSame(
    errorLines(() => runFile('clusterCIDR: &pods 10.0.0.0/8\nnodePortAddresses: [*pods]')),
    ['proxy.yaml:4: nodePortAddresses[0] must be written out: the YAML alias "*pods" is not supported here'],
  );
  t.strictSame(
    errorLines(() => runFile('iptables: {__proto__: 1}')).map((line) => line.split(';')[0]),
    ['proxy.yaml:3: iptables.__proto__ is not a known field'],
  );
  t.end();
});

t.test('a file that cannot be read, or is empty, says so and what to do', (t) => {
  for (const [text, why] of [
    [undefined, /cannot read the configuration proxy\.yaml: ENOENT: no such file/],
    ['', /cannot read the configuration proxy\.yaml: it is empty/],
    ['# only a comment\n', /it is empty/],
    ['---\n', /it is empty/],
  ] as const) {
    t.throws(() => runArguments(['--config', 'proxy.yaml'], text), {
      code: 'PENSTOCK_CONFIG_UNREADABLE',
      message: why,
      remedy: /--config/,
    });
  }
  t.end();
});

t.test('the error counts its lines and says what to do', (t) => {
  t.throws(() => runFile('oomScoreAdj: 9999'), {
    code: 'PENSTOCK_CONFIG_INVALID',
    message: /^the configuration has one error:\n {2}proxy\.yaml:3: /,
    remedy: /docs\/configuration\.md/,
  });
  t.throws(() => runFile('oomScoreAdj: 9999\nbindAddress: x'), {
    message: /^the configuration has 2 errors:\n/,
  });
  t.end();
});
