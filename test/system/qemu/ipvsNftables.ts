/**
 * A node changes between modes ipvs and nftables while clients connect, beside what others made. Only a whole kernel has
 * both, so this needs qemu and minutes, and is no part of scripts/test:
 *
 *     ./scripts/vm --qemu --timeout 900 node dist/test/system/qemu/ipvsNftables.js
 */
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { eventually, shell } from '../../support/iptables.js';
import { addresses, CART, cleanUp, servers, sets, settings } from '../../support/ipvsAgent.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PacedClient } from '../../support/pacedClient.js';
import { shopObjects } from '../../support/shopObjects.js';

/** Milliseconds. Each instruction is emulated. */
const LIMIT_MS = 800_000;
const READY_MS = 180_000;
const GONE_MS = 60_000;

/** A rule in every chain of the kernel's hooks: iptables-nft makes those that it needs, and nobody removes them. */
const FOREIGN = `
ipvsadm -A -t 192.0.2.99:80 -s wlc; ipvsadm -a -t 192.0.2.99:80 -r 10.9.9.9:80 -m -w 7; ipvsadm -A -f 5 -s rr
ipset create others hash:ip; ipset add others 192.0.2.1
nft add table inet others; nft add chain inet others input '{ type filter hook input priority 5; }'
nft add rule inet others input ip saddr 192.0.2.7 counter drop
for program in iptables ip6tables; do
  for table in nat mangle filter; do
    $program -t $table -N OTHERS
    for chain in PREROUTING INPUT FORWARD OUTPUT POSTROUTING; do
      $program -t $table -A $chain -p tcp --dport 9 -j OTHERS 2>/dev/null || true
    done
  done
done
iptables -A INPUT -m set --match-set others src -j OTHERS`;

/** What the kernel holds of anybody. Counters count, whatever happens to the rules. */
function everything(): string {
  const rules = shell('nft list ruleset').replaceAll(/counter packets \d+ bytes \d+/g, 'counter');
  return servers() + sets() + addresses() + rules;
}

const ours = () => (everything().match(/.*(KUBE-|PENSTOCK|penstock|172\.30\.0\.1\b).*/g) ?? []).join('\n');

t.setTimeout(LIMIT_MS);
const server = await serveOnLoopback(CART.endpoints);
t.teardown(() => server.close());

t.test('ipvs → nftables → ipvs under traffic: no connect fails, nothing is left', async (t) => {
  t.setTimeout(LIMIT_MS);
  shell(FOREIGN);
  const before = everything();
  await using agent = new AgentProcess(settings('ipvs'));
  agent.write('cart.json', shopObjects(CART));
  agent.start();
  await agent.ready(READY_MS);
  t.match(ours(), /-A -t 172\.30\.0\.1:80/);
  const client = new PacedClient('172.30.0.1', CART.endpoints);
  const changeTo = async (mode: string) => {
    agent.configure(settings(mode));
    await agent.end('SIGTERM');
    const connects = client.connects;
    agent.start();
    await agent.ready(READY_MS);
    t.ok(client.connects > connects, `${client.connects - connects} connects while mode ${mode} comes`);
    t.same(client.failures, [], 'none failed');
  };

  await changeTo('nftables');
  const ofIpvs = /KUBE-|PENSTOCK|-A -t 172/;
  t.ok(await eventually(() => !ofIpvs.test(ours()), GONE_MS), 'nothing is left of mode ipvs');
  t.match(ours(), /table ip penstock/);

  await changeTo('ipvs');
  t.ok(
    await eventually(() => !/table ip6? penstock/.test(ours()), GONE_MS),
    'nothing is left of mode nftables',
  );
  t.match(ours(), /-A -t 172\.30\.0\.1:80/);

  await client.stop();
  t.same(client.failures, [], `none of ${client.connects} connects failed`);
  await agent.end('SIGTERM');
  cleanUp();
  t.equal(everything(), before, 'what others made is there, byte for byte, and nothing else');
});
