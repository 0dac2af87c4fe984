/** penstock compare as a person calls it: from files, and from a kernel that holds what stock kube-proxy wrote. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { plain, shell } from '../../support/iptables.js';
import { needsShared, readShared } from '../../support/shared.js';

function compare(...args: readonly string[]) {
  const [program, words] = plain(PENSTOCK, 'compare', ...args);
  return spawnSync(program, words, { encoding: 'utf8' });
}

if (await inNetns(import.meta.url)) {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-compare-'));
  const write = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };

  t.test('a wrong call is one line and status 2', async (t) => {
    const rules = write('rules', '*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n');
    for (const args of [
      ['--mode', 'fast'],
      ['--manifests', write('broken', 'a: [\n'), '--iptables-save', rules],
      ['--manifests', write('nothing', '---\n'), '--iptables-save', rules],
      ['--mode', 'fast', '--manifests', folder, '--nft', '/dev/null'],
      ['-o', 'xml'],
      ['--ipset', '/dev/null'],
      ['--nft', join(folder, 'nowhere')],
      ['--nft', write('empty', '')],
      ['--iptables-save', write('words', 'these are words\n')],
      ['--no-such-flag'],
      ['--nft'],
    ]) {
      const { status, stdout, stderr } = compare(...args);
      t.equal(status, 2, args.join(' '));
      t.equal(stdout, '');
      t.notMatch(stderr, /\n {4}at /, 'no stack');
      t.ok(stderr.split('\n').filter(Boolean).length <= 2, stderr);
    }
  });

  t.test('without another proxy it could not look', async (t) => {
    const { status, stderr } = compare('--manifests', folder);
    t.equal(status, 2);
    t.match(stderr, 'no other proxy has rules here');
  });

  t.test('stock rules in the kernel', needsShared, async (t) => {
    shell(
      'ip link set lo up; ip link add out type veth peer name peer; ip link set out up; ip addr add 10.200.0.10/24 dev out',
    );
    const objects = mkdtempSync(join(tmpdir(), 'penstock-objects-'));
    for (const name of ['objects.json', 'nodes.json']) {
      writeFileSync(join(objects, name), readShared(`stock/golden/${name}`));
    }
    const call = (mode: string, ...more: readonly string[]) => {
      const config = write(`${mode}.yaml`, readShared(`stock/golden/${mode}/config.yaml`));
      return compare('--manifests', objects, '--config', config, ...more);
    };

    shell(`nft -f ${write('rules.nft', readShared('stock/golden/nftables/nft.txt'))}`);
    const nft = call('nftables');
    t.equal(nft.status, 0, nft.stdout + nft.stderr);
    t.match(nft.stdout, /^equal: \d+ questions/m);

    shell("nft delete element ip kube-proxy service-ips '{ 172.30.1.1 . tcp . 80 }'");
    const changed = call('nftables', '-o', 'json');
    t.equal(changed.status, 1);
    const { equal, differences } = JSON.parse(changed.stdout);
    t.equal(equal, false);
    t.same([...new Set(differences.map((d: { service: string }) => d.service))], ['golden/s01-clusterip']);
    shell('nft flush ruleset');

    // Counters of nfacct would have to be made first.
    const saved = (name: string) =>
      readShared(`stock/golden/iptables/${name}`).replace(/-m nfacct --nfacct-name +\S+ /g, '');
    shell(`iptables-restore ${write('v4', saved('iptables-save.txt'))}`);
    shell(`ip6tables-restore ${write('v6', saved('ip6tables-save.txt'))}`);
    const iptables = call('iptables');
    t.equal(iptables.status, 0, iptables.stdout + iptables.stderr);
    t.match(iptables.stdout, 'kube-proxy, mode iptables');
  });
}
