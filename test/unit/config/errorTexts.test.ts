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
      'proxy.yaml:6: iptables.syncPeriod must be a duration such as "30s", "250ms" or "1h0m0s", not 5',
      'proxy.yaml:8: mode is given twice, first on line 3',
      'proxy.yaml:9: nodePortAddresses[0] must be text, not 5',
      'proxy.yaml:9: nodePortAddresses[1] must be an address range such as 10.0.0.0/8 or fd00::/64, or one of the words primary, localhost, all, not "foo"',
      'proxy.yaml:10: oomScoreAdj must be within -1000..1000, not 9999',
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
    errorLines(() =>
      runFile('clusterCIDR: &pods 10.0.0.0/8\nnodePortAddresses: [*pods, *pods]\nmode: *pods'),
    ),
    [
      'proxy.yaml:4: nodePortAddresses[0] must be written out: the YAML alias "*pods" is not supported here, nor are 2 others',
    ],
    'one for all',
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

t.test('fields that do not exist are told and ignored, as kube-proxy takes them too', (t) => {
  const text = `resourceContainer: /kube-proxy
conntrack: {max: 0, maxPerCore: 7}
iptables: {minSyncPeriodd: 1s, __proto__: 1}
masqueradeBit: 3
ipvs: {foo: 1}
`;
  const run = runFile(text);
  t.equal(run.config.conntrack.maxPerCore, 7);
  t.strictSame(run.warnings, [
    'proxy.yaml:5: iptables.minSyncPeriodd is not a known field; did you mean iptables.minSyncPeriod?; it is ignored',
    'proxy.yaml:5: iptables.__proto__ is not a known field; the fields here are masqueradeBit, masqueradeAll, localhostNodePorts, syncPeriod, minSyncPeriod; it is ignored',
    'proxy.yaml:7: ipvs.foo is not a known field; the fields here are syncPeriod, minSyncPeriod, scheduler, excludeCIDRs, strictARP, tcpTimeout, tcpFinTimeout, udpTimeout; it is ignored',
    'proxy.yaml:4: conntrack.max is not a field any more: kube-proxy has not had it since 1.12: set conntrack.maxPerCore and conntrack.min; it is ignored',
    'proxy.yaml:3: resourceContainer is not a field any more: kube-proxy has not had it since 1.16: the kubelet places the process; it is ignored',
    'proxy.yaml:6: masqueradeBit is not a known field; did you mean iptables.masqueradeBit or nftables.masqueradeBit?; it is ignored',
  ]);
  t.strictSame(
    errorLines(() => runFile('penstock: {manifest: /x}')),
    ['proxy.yaml:3: penstock.manifest is not a known field; did you mean penstock.manifests?'],
    'what is ours has no other reader',
  );
  t.end();
});

t.test('10,000 keys cost little, and are not all told', (t) => {
  const text = Array.from({ length: 10_000 }, (_, i) => `field${i}: 1\n`).join('');
  const before = process.cpuUsage().user;
  const { warnings } = runFile(text);
  t.ok(process.cpuUsage().user - before < 4_000_000);
  t.equal(warnings.length, 51);
  t.equal(warnings.at(-1), 'and 9950 more');
  t.match(errorLines(() => runFile('x'.repeat(300_000)))[0], /longer than 256 KiB/);
  t.match(errorLines(() => runFile(`a: ${'['.repeat(50_000)}`))[0], /nested deeper than 100 levels/);
  t.end();
});
