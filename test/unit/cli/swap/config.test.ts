/** penstock config check */
import t from 'tap';
import { checkConfig } from '../../../../src/cli/swap/config.js';
import { PenstockError } from '../../../../src/errors.js';

const HEADER = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const check = (text: string) => checkConfig('proxy.yaml', () => HEADER + text);

t.test('a good file, one with warnings, and one with faults', async (t) => {
  t.same(check('mode: nftables'), { file: 'proxy.yaml', ok: true, faults: [], warnings: [] });
  t.match(check('resourceContainer: /x\nportRange: "1-2"\nfeatureGates: {Nonsensical: true}\n'), {
    ok: true,
    faults: [],
    warnings: [
      /^proxy\.yaml:3: resourceContainer is not a field any more/,
      /^featureGates\.Nonsensical/,
      /^portRange has no effect/,
    ],
  });
  t.same(check('oomScoreAdj: 9999').faults, [
    'proxy.yaml:3: oomScoreAdj must be within -1000..1000, not 9999',
  ]);
  t.equal(check('oomScoreAdj: 9999').ok, false);
});

t.test('what the field writes is taken', async (t) => {
  for (const text of [
    'nodePortAddresses: [primary, localhost]\nmode: nftables\nfeatureGates: {KubeProxyNFTablesLocalhostNodePorts: true}',
    'nodePortAddresses: [all]',
    'nodePortAddresses: [primary, 10.0.0.0/8]',
    'conntrack: {max: 0, maxPerCore: 32768, min: 131072}',
    'conntrack: {max: null}',
  ])
    t.equal(check(text).ok, true, text);
});

t.test('a file that cannot be read is neither good nor bad', async (t) => {
  const missing = () => {
    throw new Error('ENOENT');
  };
  t.throws(() => checkConfig('none.yaml', missing), PenstockError);
});
