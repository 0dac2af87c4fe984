/** penstock sysdump beside an agent whose metrics are where its configuration says. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { plain, shell } from '../../support/iptables.js';

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');
  for (const address of ['127.0.0.1:11249', '0.0.0.0:11250']) {
    t.test(`metrics on ${address}`, async (t) => {
      await using agent = new AgentProcess(`mode: nftables\nmetricsBindAddress: ${address}\n`);
      agent.write('objects.json', []);
      agent.start();
      await agent.ready();
      const file = join(mkdtempSync(join(agent.folder, 'dump-')), 'dump.tar.gz');
      const [program, args] = plain(PENSTOCK, 'sysdump', '--file', file);
      const said = await new Promise<string>((resolve) => {
        execFile(program, args, (_, out, err) => resolve(`${out}${err}`));
      });
      t.notMatch(said, /not in it: agent\/metrics/);
      const read = (name: string) =>
        execFileSync('tar', ['-xzOf', file, '--wildcards', `*/${name}`], { encoding: 'utf8' });
      t.match(read('agent/metrics.txt'), /^penstock_\w+/m);
      t.match(read('agent/metrics.txt'), /kubeproxy_sync_proxy_rules/);
    });
  }
}
