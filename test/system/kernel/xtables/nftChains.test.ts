import { execFileSync } from 'node:child_process';
import t from 'tap';
import { nftChainExists, nftChainNames } from '../../../../src/kernel/xtables/nftChains.js';
import { inNetns } from '../../../support/inNetns.js';

if (await inNetns(import.meta.url)) {
  t.test('chains of iptables-nft, by family and table', async (t) => {
    t.equal(await nftChainExists('IPv4', 'mangle', 'HINT'), false, 'no table');
    t.same(await nftChainNames('IPv4'), []);
    execFileSync('iptables-nft', ['-t', 'mangle', '-N', 'HINT']);
    t.same(await nftChainNames('IPv4'), ['HINT']);
    t.same(await nftChainNames('IPv6'), []);
    t.equal(await nftChainExists('IPv4', 'mangle', 'HINT'), true);
    t.equal(await nftChainExists('IPv4', 'mangle', 'HIN'), false);
    t.equal(await nftChainExists('IPv4', 'nat', 'HINT'), false);
    t.equal(await nftChainExists('IPv6', 'mangle', 'HINT'), false);
  });
}
