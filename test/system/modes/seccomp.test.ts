/** deploy/seccomp.json: every mode works under it, and what it does not list is refused. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { shopObjects } from '../../support/shopObjects.js';
import { ROOT, read } from '../../unit/deploy/deployFiles.js';

const UNDER_PROFILE = ['python3', `${ROOT}scripts/lib/under-seccomp.py`, `${ROOT}deploy/seccomp.json`];
const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] };
const MODES = [
  ['nftables', ''],
  ['userspace', ''],
  ['userspace', 'penstock: {socketLookup: auto}\n'],
  ['iptables', 'penstock: {iptablesBackend: nft}\n'],
  ['iptables', 'penstock: {iptablesBackend: legacy}\n'],
] as const;

interface Profile {
  readonly defaultAction: string;
  readonly syscalls: readonly { readonly names: readonly string[]; readonly action: string }[];
}

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(['10.1.0.1', '10.1.0.2']);
  t.teardown(() => server.close());

  for (const [mode, rest] of MODES) {
    t.test(`mode ${mode} ${rest}`, async (t) => {
      await using agent = new AgentProcess(`mode: ${mode}\nclusterCIDR: 10.0.0.0/8\n${rest}`);
      agent.write('cart.json', shopObjects(CART));
      agent.start(UNDER_PROFILE);
      t.ok(await agent.ready());
      t.ok(await eventually(async () => (await ask(CART.clusterIP)) !== 'ECONNREFUSED'));
      agent.write('cart.json', shopObjects({ ...CART, endpoints: [] }));
      t.ok(
        await eventually(async () => (await ask(CART.clusterIP)) === 'ECONNREFUSED'),
        'an edit is followed',
      );
      agent.configure(`mode: ${mode}\nclusterCIDR: 10.0.0.0/9\nlogging: {verbosity: 4}\n${rest}`);
      t.ok(await eventually(() => agent.output.includes('has changed')), 'so is the configuration');
      // bpf() is not in the profile: what would take NAT away is an accelerator, and the rules redirect without it.
      const [refused = ''] = /.*no socket lookup.*/.exec(agent.output) ?? [];
      t.equal(refused !== '', rest.includes('socketLookup'));
      t.notMatch(agent.output.replace(refused, ''), /EPERM|ENOSYS|Operation not permitted/);
      t.equal(await agent.end('SIGTERM'), 0);
      shell(`${PENSTOCK} cleanup`);
    });
  }

  t.test('what is not listed is refused', async (t) => {
    const { status, stderr } = spawnSync(...plain(...UNDER_PROFILE, 'unshare', '--net', 'true'), {
      encoding: 'utf8',
    });
    t.not(status, 0);
    t.match(stderr, /Operation not permitted/);
  });
}

t.test('the profile allows each name once, and nothing that takes over a node', (t) => {
  const { defaultAction, syscalls } = JSON.parse(read('deploy/seccomp.json')) as Profile;
  t.equal(defaultAction, 'SCMP_ACT_ERRNO');
  const names = syscalls.flatMap((rule) => rule.names);
  t.equal(new Set(names).size, names.length);
  for (const name of [
    'mount',
    'ptrace',
    'bpf',
    'init_module',
    'unshare',
    'setns',
    'keyctl',
    'io_uring_setup',
    'kexec_load',
  ]) {
    t.notOk(names.includes(name), name);
  }
  t.end();
});
