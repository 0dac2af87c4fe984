/** Which mode a kernel gets. */
import t from 'tap';
import {
  DEFAULT_CONFIGURATION,
  withServerAddresses,
} from '../../../src/config/file/KubeProxyConfiguration.js';
import { type NodeConfig, toNodeConfig } from '../../../src/config/NodeConfig.js';
import { FEATURES, type FeatureResult } from '../../../src/kernel/nftables/features.js';
import { probeQueue, QUEUES } from '../../../src/modes/beside/probeQueue.js';
import { chooseMode, probeKernel, requireNftables, settleMode } from '../../../src/modes/chooseMode.js';
import { createLogger } from '../../../src/observe/log/createLogger.js';
import { inNetns } from '../../support/inNetns.js';
import { listedRuleset, shell } from '../../support/iptables.js';

/** A kernel without the named features. */
const kernelWithout = (...names: readonly string[]): FeatureResult[] =>
  FEATURES.map((feature) => ({
    feature,
    family: 'IPv4',
    error: names.includes(feature.name) ? new Error('ENOENT (no such file or directory)') : undefined,
  }));

if (await inNetns(import.meta.url)) {
  t.test('nftables where everything that it needs is there', async (t) => {
    t.match(chooseMode(kernelWithout()), { mode: 'nftables', warnings: [] });
    t.same(requireNftables(kernelWithout()), []);
  });

  t.test('iptables where something is missing, and why', async (t) => {
    for (const feature of FEATURES.filter(({ neededFor }) => neededFor === 'mode nftables')) {
      const { mode, reason } = chooseMode(kernelWithout(feature.name));
      t.equal(mode, 'iptables', feature.name);
      t.ok(reason.includes(feature.kernelOption), 'it names the kernel option');
      t.throws(() => requireNftables(kernelWithout(feature.name)), { code: 'PENSTOCK_NFTABLES_UNSUPPORTED' });
    }
    t.match(chooseMode(new Error('EPERM: no')), { mode: 'iptables', reason: /cannot be asked: EPERM/ });
  });

  t.test('what only some Services need is a warning', async (t) => {
    const { mode, warnings } = chooseMode(kernelWithout('hashes', 'redirection'));
    t.equal(mode, 'nftables');
    t.equal(warnings.length, 2);
    t.match(
      warnings.join('\n'),
      /source-hash, maglev will not work: this kernel lacks "hashes" for IPv4, CONFIG_NFT_HASH/,
    );
    t.same(requireNftables(kernelWithout('hashes')), chooseMode(kernelWithout('hashes')).warnings);
  });

  t.test('without queues everything else works', async (t) => {
    const error = new Error('ENOENT (no such file or directory)');
    const { mode, warnings } = chooseMode([...kernelWithout(), { feature: QUEUES, family: 'IPv4', error }]);
    t.equal(mode, 'nftables');
    t.match(warnings, [/^penstock\.io\/wake, .* will not work: .*CONFIG_NFT_QUEUE or/]);
    t.equal(warnings.length, 1);
    const probed = await probeKernel(probeQueue);
    if (probed instanceof Error) throw probed;
    const found = probed.filter(({ feature }) => feature === QUEUES);
    t.same(
      found.map(({ family, error: why }) => [family, why]),
      [
        ['IPv4', undefined],
        ['IPv6', undefined],
      ],
    );
    t.equal(listedRuleset(), '', 'to ask leaves no trace');
  });

  t.test('this kernel has everything, and asking it leaves no trace', async (t) => {
    const generation = () => shell('nft -a list tables; nft --debug=netlink list tables 2>&1 | head -1');
    const before = generation();
    const probed = await probeKernel();
    if (probed instanceof Error) throw probed;
    t.same(
      probed.filter(({ error }) => error),
      [],
    );
    t.equal(probed.length, 2 * FEATURES.length, 'in both families');
    t.equal(listedRuleset(), '');
    t.equal(generation(), before);
  });

  t.test('the configuration is settled', async (t) => {
    const log = createLogger({ format: 'json', verbosity: 0 }, { write: () => true } as never);
    const config = (mode: NodeConfig['mode']) =>
      toNodeConfig({ ...withServerAddresses(DEFAULT_CONFIGURATION), mode }, 'node1');
    const settled = await settleMode(config(''), config, probeKernel, log);
    t.equal(settled.mode, 'nftables');
    t.equal(settled.nodePortAddresses, 'primary', 'with the defaults of the mode');
    const iptables = config('iptables');
    t.equal(await settleMode(iptables, config, probeKernel, log), iptables, 'a mode that is given stays');
  });
}
