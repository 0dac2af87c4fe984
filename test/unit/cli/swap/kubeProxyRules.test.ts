/** Rules that a kube-proxy left: what cannot be looked at is not taken for nothing. */
import t from 'tap';
import { kubeProxyRules, type RulesHost } from '../../../../src/cli/host/kubeProxyRules.js';
import { NetlinkError } from '../../../../src/kernel/netlink/NetlinkError.js';
import { inNetns } from '../../../support/inNetns.js';

const VERSION = { status: 0, stdout: 'iptables v1.8.9 (legacy)', stderr: '' };

/** A kernel with the table mangle of iptables-legacy, and a tool that answers so when it is to list a chain. */
const host = (list: () => Promise<{ status: number; stdout: string; stderr: string }>): RulesHost => ({
  chain: async () => false,
  legacyTables: async (family) => (family === 'IPv4' ? ['mangle'] : []),
  run: async (_, [first]) => (first === '--version' ? VERSION : list()),
});
const answer = (status: number, stderr = '') => host(async () => ({ status, stdout: '', stderr }));
const failing = (code: string) => Object.assign(new Error(`it fails with ${code}`), { code });

if (await inNetns(import.meta.url)) {
  t.test('what is there, and what is not', async (t) => {
    t.same(await kubeProxyRules(answer(1)), { found: [], unseen: [] }, 'no such chain');
    const legacy = ['the iptables-legacy chain KUBE-PROXY-CANARY'];
    t.same(await kubeProxyRules(answer(0)), { found: legacy, unseen: [] });
    const nft = { ...answer(1), chain: async (family: string) => family === 'IPv6' };
    t.same((await kubeProxyRules(nft)).found, ['the iptables chain KUBE-PROXY-CANARY']);
    t.same(await kubeProxyRules(), { found: [], unseen: [] }, 'an empty network');
  });

  t.test('what cannot be looked at', async (t) => {
    const locked = await kubeProxyRules(answer(4, 'Another app is currently holding the xtables lock'));
    t.same(locked.found, []);
    t.match(locked.unseen, [/^the iptables-legacy chain .* cannot be looked for: .*status 4: Another app/]);
    t.equal(locked.unseen.length, 1);
    const chain = async () => {
      throw new NetlinkError('look for a chain', { errno: -1 });
    };
    t.match((await kubeProxyRules({ ...answer(1), chain })).unseen, [
      /^the iptables chain KUBE-PROXY-CANARY cannot be looked for: .*EPERM/,
    ]);
    const legacyTables = async () => {
      throw failing('EACCES');
    };
    t.match((await kubeProxyRules({ ...answer(1), legacyTables })).unseen, [/EACCES/]);
  });

  t.test(
    'a tool that is missing sees nothing and removes nothing; one that cannot start is another matter',
    async (t) => {
      const starting = (code: string): RulesHost => ({
        ...answer(1),
        run: () => Promise.reject(failing(code)),
      });
      t.same(await kubeProxyRules(starting('ENOENT')), { found: [], unseen: [] });
      t.match((await kubeProxyRules(starting('EAGAIN'))).unseen, [/cannot be started: it fails with EAGAIN/]);
    },
  );
}
