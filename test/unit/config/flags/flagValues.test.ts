import t from 'tap';
import { runArguments } from '../runCommand.js';

t.test('flags as they were given, in the words of Go', async (t) => {
  const { flags } = runArguments([
    '--manifests=/etc/m',
    '--ipvs-exclude-cidrs=10.0.0.0/8,fd00::/8',
    '--ipvs-tcp-timeout=15m',
    '--feature-gates=AllowServiceExternalIPs=true',
    '--vmodule=a=1,b=2',
    '--masquerade-all',
    '--conntrack-min=7',
  ]);
  t.equal(flags.get('manifests'), '/etc/m');
  t.equal(flags.get('ipvs-exclude-cidrs'), '[10.0.0.0/8,fd00::/8]');
  t.equal(flags.get('ipvs-tcp-timeout'), '15m0s');
  t.equal(flags.get('feature-gates'), 'AllowServiceExternalIPs=true');
  t.equal(flags.get('vmodule'), 'a=1,b=2');
  t.equal(flags.get('masquerade-all'), 'true');
  t.equal(flags.get('conntrack-min'), '7');
});

t.test('the others by default', async (t) => {
  const { flags } = runArguments(['--manifests=/etc/m']);
  for (const [name, value] of [
    ['cleanup', 'false'],
    ['config', ''],
    ['healthz-port', '10256'],
    ['metrics-port', '10249'],
    ['ipvs-exclude-cidrs', '[]'],
    ['feature-gates', ''],
    ['conntrack-tcp-timeout-established', '24h0m0s'],
    ['proxy-mode', ''],
  ] as const) {
    t.equal(flags.get(name), value, name);
  }
});
