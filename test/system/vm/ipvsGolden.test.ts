/**
 * The kernel holds what stock kube-proxy 1.36.2 left in it for the recorded objects, but for the differences that
 * test/support/goldenIpvs.ts names.
 */
import t from 'tap';
import { IP_FAMILIES } from '../../../src/net/ip.js';
import { AgentProcess } from '../../support/AgentProcess.js';
import {
  asStock,
  chainsOf,
  stockAddresses,
  stockRules,
  stockServers,
  stockSets,
  withoutOwnLines,
} from '../../support/goldenIpvs.js';
import { goldenObjects } from '../../support/goldenTable.js';
import { inVm } from '../../support/inVm.js';
import { eventually, shell } from '../../support/iptables.js';
import { LIMIT_MS, READY_MS } from '../../support/ipvsAgent.js';
import { needsShared } from '../../support/shared.js';

const CONFIG = 'mode: ipvs\nclusterCIDR: 10.244.0.0/16,fd00:244::/32\ndetectLocalMode: ClusterCIDR\n';

/** Milliseconds. */
const STOCK_MS = 25_800;

const linesOf = (command: string) => shell(command).split('\n').filter(Boolean);

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  t.test('for the recorded objects', { ...needsShared, timeout: LIMIT_MS }, async (t) => {
    shell('ip link set lo up; ip link add eth0 type dummy; ip link set eth0 up');
    shell(
      'ip addr add 10.200.0.10/24 dev eth0; ip addr add fd00:200::10/64 dev eth0 nodad; ip route add default dev eth0',
    );
    await using agent = new AgentProcess(CONFIG);
    agent.write('objects.json', goldenObjects());
    const started = performance.now();
    agent.start();
    const isInForce = () => /synced: .*/.test(agent.output);
    t.ok(await eventually(isInForce, READY_MS), 'everything is written');
    const ms = Math.round(performance.now() - started);
    t.comment(`in force ${ms} ms after the start; stock needed ${STOCK_MS} in such a machine`);
    await agent.ready(READY_MS);

    t.strictSame(withoutOwnLines(linesOf('ipvsadm -Sn')), stockServers());
    const saved = linesOf('ipset save').map((line) => line.replace(/ bucketsize .*$/, ''));
    t.strictSame(withoutOwnLines(saved), stockSets());
    const link = JSON.parse(shell('ip -j address show dev kube-ipvs0'))[0];
    const bound = link.addr_info.map(
      (a: { local: string; prefixlen: number }) => `${a.local}/${a.prefixlen}`,
    );
    t.strictSame(bound.sort(), stockAddresses());
    t.equal(link.operstate, 'DOWN');

    const full = new Set(saved.flatMap((line) => /^add (\S+)/.exec(line)?.[1] ?? []));
    const names = saved.flatMap((line) => /^create (\S+)/.exec(line)?.[1] ?? []);
    const empty = new Set(names.filter((name) => !full.has(name)));
    for (const family of IP_FAMILIES) {
      const program = family === 'IPv4' ? 'iptables-legacy-save' : 'ip6tables-legacy-save';
      const rules = linesOf(program).filter((line) => !line.includes('-j REDIRECT'));
      const ours = asStock(chainsOf(rules.join('\n')), empty);
      for (const [chain, stock] of stockRules(family))
        t.strictSame(ours.get(chain), stock, `${family} ${chain}`);
    }
    await agent.end('SIGTERM');
  });
}
