/** penstock doctor as users call it. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { listedRuleset, plain, shell } from '../../support/iptables.js';

const doctor = (...args: readonly string[]) =>
  spawnSync(...plain('timeout', '20', PENSTOCK, 'doctor', ...args), { encoding: 'utf8' });

if (await inNetns(import.meta.url)) {
  t.test('says what the kernel has and what is in the way, and changes nothing', async (t) => {
    shell('iptables -P FORWARD DROP; nft add table ip penstock');
    const before = listedRuleset();
    const { status, stdout } = doctor();
    t.equal(status, 0);
    t.match(stdout, /ok +random numbers +mode nftables +CONFIG_NFT_NUMGEN/);
    t.match(
      stdout,
      /ok +queues of first packets +penstock\.io\/wake, .*CONFIG_NFT_QUEUE or CONFIG_NETFILTER_XT_TARGET_NFQUEUE/,
    );
    t.match(stdout, /ok +socket lookup \(CAP_BPF\) +mode userspace without NAT/);
    t.match(stdout, /iptables, IPv4: iptables \d/);
    t.match(stdout, /mode: "" means nftables here/);
    t.match(stdout, /On this host:\n {2}nftables: table ip penstock/);
    t.match(
      stdout,
      /iptables drops .* in FORWARD.*\n +→ iptables -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT/,
    );
    t.equal(listedRuleset(), before);
    shell('iptables -P FORWARD ACCEPT; nft delete table ip penstock');
    t.match(doctor().stdout, /Nothing of penstock is on this host/);
  });

  t.test('the same for programs', async (t) => {
    const { status, stdout } = doctor('--json');
    t.equal(status, 0);
    const report = JSON.parse(stdout);
    t.match(report, { mode: { name: 'nftables', possible: true }, present: [] });
    t.ok(
      report.features.every((row: { found: object }) =>
        Object.values(row.found).every((text) => text === 'ok'),
      ),
    );
  });

  t.test('without root it says what it could not see', async (t) => {
    const { status, stdout } = spawnSync(
      ...plain('setpriv', '--bounding-set=-all', '--inh-caps=-all', '--reuid=65534', PENSTOCK, 'doctor'),
      { encoding: 'utf8' },
    );
    t.match(
      stdout,
      /Its features cannot be seen: mode nftables is not possible: to ask the kernel needs root/,
    );
    t.match(stdout, 'Which mode is possible only root may ask');
    t.notMatch(stdout, 'means iptables here');
    t.equal(status, 2);
  });
}
