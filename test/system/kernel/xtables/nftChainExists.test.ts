import { execFileSync } from 'node:child_process';
import t from 'tap';
import { nftChainExists } from '../../../../src/kernel/xtables/nftChainExists.js';
import { inNetns } from '../../../support/inNetns.js';

if (await inNetns(import.meta.url)) {
  t.test('chains of iptables-nft, by family and table', async (t) => {
    t.equal(await nftChainExists('IPv4', 'mangle', 'HINT'), false, 'no table');
    execFileSync('iptables-nft', ['-t', 'mangle', '-N', 'HINT']);
    t.equal(await nftChainExists('IPv4', 'mangle', 'HINT'), true);
    t.equal(await nftChainExists('IPv4', 'mangle', 'HIN'), false);
    t.equal(await nftChainExists('IPv4', 'nat', 'HINT'), false);
    t.equal(await nftChainExists('IPv6', 'mangle', 'HINT'), false);
  });
}
