/** Reloads, failing and not: what was opened is closed. */
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { settledDescriptors } from '../../support/descriptors.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';

const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] };

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');

  t.test('twenty reloads that fail leave nothing open, and one SIGTERM ends it', async (t) => {
    await using agent = new AgentProcess('');
    const manifests = `penstock: {manifests: ${agent.folder}}\n`;
    agent.configure(`mode: nftables\n${manifests}`);
    agent.write('cart.json', shopObjects(CART));
    agent.start([], ['--config', agent.configFile]);
    t.ok(await agent.ready());
    const pid = agent.pid ?? 0;
    // One of each kind first: what a process loads once is no leak.
    const failures = [
      `mode: nftables\nbindAddressHardFail: true\nmetricsBindAddress: 203.0.113.1:10249\n${manifests}`,
      'mode: nftables\nclientConnection: {kubeconfig: /nonexistent}\n',
      // This kernel has none, or has it: then the address cannot be had.
      `mode: ipvs\nbindAddressHardFail: true\nmetricsBindAddress: 203.0.113.1:10249\n${manifests}`,
    ];
    let tries = 0;
    const fail = async (settings: string) => {
      const backs = () =>
        agent.output.split('back to the one before').length + agent.output.split('is not taken').length;
      const before = backs();
      agent.configure(`${settings}nftables: {minSyncPeriod: ${++tries}ms}\n`);
      process.kill(pid, 'SIGHUP');
      t.ok(await eventually(() => backs() > before), `failure ${tries}`);
      t.ok(await agent.ready());
    };
    for (const settings of failures) await fail(settings);
    const before = await settledDescriptors(pid);
    for (let i = 0; i < 20; i++) await fail(failures[i % 3] ?? '');
    t.same(await settledDescriptors(pid), before, 'no descriptor is left over');
    const started = performance.now();
    t.equal(await agent.end('SIGTERM'), 0);
    t.ok(performance.now() - started < 5000, 'at once');
    t.notMatch(agent.output, 'still open');
    shell(`${PENSTOCK} cleanup`);
  });

  for (const mode of ['nftables', 'iptables']) {
    t.test(`${mode}: starting anew again and again leaves nothing open`, async (t) => {
      const settings = (cidr: number) => `mode: ${mode}\nclusterCIDR: 10.${cidr}.0.0/16\n`;
      await using agent = new AgentProcess(settings(1));
      agent.write('cart.json', shopObjects(CART));
      agent.start();
      t.ok(await agent.ready());
      const pid = agent.pid ?? 0;
      const again = async (i: number) => {
        const before = agent.output.length;
        agent.configure(settings(i));
        process.kill(pid, 'SIGHUP');
        t.ok(await eventually(() => agent.output.slice(before).includes('synced: ')), `start ${i}`);
        t.ok(await agent.ready());
      };
      for (let i = 2; i < 4; i++) await again(i);
      const before = await settledDescriptors(pid);
      for (let i = 4; i < 9; i++) await again(i);
      t.same(await settledDescriptors(pid), before);
      t.equal(await agent.end('SIGTERM'), 0);
      shell(`${PENSTOCK} cleanup`);
    });
  }
}
