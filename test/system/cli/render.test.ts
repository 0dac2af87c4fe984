/** penstock render prints what the kernel's own tools take, in every mode. */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { plain, shell } from '../../support/iptables.js';

const MANIFESTS = fileURLToPath(fromRoot('examples/manifests'));

function render(...args: readonly string[]) {
  const [program, words] = plain(PENSTOCK, 'render', '--manifests', MANIFESTS, ...args);
  return spawnSync(program, words, { encoding: 'utf8' });
}

if (await inNetns(import.meta.url)) {
  shell(
    'ip link set lo up; ip link add out type veth peer name peer; ip link set out up; ip link set peer up',
  );
  shell('ip addr add 192.168.77.1/24 dev out');

  for (const [mode, program] of [
    ['nftables', 'nft --check -f -'],
    ['userspace', 'nft --check -f -'],
    ['iptables', 'iptables-nft-restore --noflush --test'],
  ] as const) {
    t.test(`mode ${mode}: ${program} takes it`, async (t) => {
      const { status, stdout, stderr } = render('--mode', mode, '--family', 'IPv4');
      t.equal(status, 0, stderr);
      t.match(stdout, '172.30.0.10');
      const taken = spawnSync('sh', ['-c', program], { input: stdout, encoding: 'utf8' });
      t.equal(taken.status, 0, taken.stderr);
    });
  }

  t.test('mode userspace leads to the ports that are configured', async (t) => {
    const { stdout } = render('--mode', 'userspace', '--family', 'IPv4', '--proxy-port-range', '31000-31010');
    t.match(stdout, '192.168.77.1 . 31000');
    t.notMatch(stdout, '40000');
  });

  t.test('mode ipvs: each part is for its program', async (t) => {
    const { status, stdout } = render('--mode', 'ipvs', '--family', 'IPv4');
    t.equal(status, 0);
    for (const part of ['ipset restore', 'ipvsadm -R', 'ip -batch -', 'iptables-restore --noflush'])
      t.match(stdout, `# IPv4: ${part}\n`);
    t.match(stdout, '-A -t 172.30.0.10:80 -s rr');
  });

  t.test('no such mode', async (t) => {
    const { status, stderr } = render('--mode', 'ebpf');
    t.equal(status, 2);
    t.match(stderr, 'there is no mode "ebpf"\n→ Use --mode iptables or --mode ipvs or');
  });

  t.test('no such family', async (t) => {
    const { status, stdout, stderr } = render('--family', '4');
    t.equal(status, 2);
    t.equal(stdout, '');
    t.match(stderr, 'there is no family "4"\n→ Use --family IPv4 or IPv6.');
  });
}
