/** The memory of an agent that has nothing to do, beside Node itself with the same flags. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';

const FLAGS =
  /exec node (--.*?) "\$0"/.exec(readFileSync(fromRoot('bin/penstock'), 'utf8'))?.[1]?.split(' ') ?? [];
/** What is asked for; bench/README.md has what it is. */
const MOST = 1.15;

function residentKilobytes(pid: number | undefined): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up; ip address add 192.0.2.1/32 dev lo; ip route add default dev lo');
  t.test('an idle agent is hardly larger than Node', async (t) => {
    const bare = spawn(process.execPath, [...FLAGS, '-e', 'console.log(1);setInterval(() => {}, 1000)']);
    t.teardown(() => bare.kill('SIGKILL'));
    await new Promise((resolve) => bare.stdout.once('data', resolve));
    const node = residentKilobytes(bare.pid);
    await using agent = new AgentProcess('mode: nftables\nclusterCIDR: 10.244.0.0/16\n');
    agent.start();
    await agent.ready();
    const share = () => residentKilobytes(agent.pid) / node;
    const isSmall = await eventually(async () => share() <= MOST, 20_000);
    t.ok(isSmall, `${share().toFixed(2)} of Node's ${node} kB`);
  });
}
