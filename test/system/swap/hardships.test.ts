/** The swap where /run takes no file, where no API server answers, and where the takeover or the report before it is interrupted. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { Sfc32 } from '../../../src/balancing/pick/Sfc32.js';
import { STATE_FOLDER } from '../../../src/kernel/host/stateFiles.js';
import { AgentProcess } from '../../support/AgentProcess.js';
import { ClusterAgent } from '../../support/ClusterAgent.js';
import { inNetns } from '../../support/inNetns.js';
import { command, drawFault, interrupted } from '../../support/interrupt.js';
import { eventually, listedRuleset, savedRules } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { StandIn } from '../../support/StandIn.js';
import { shopObjects } from '../../support/shopObjects.js';

const CYCLES = Number(process.env.PENSTOCK_CYCLES ?? 2);
const SEED = Number(process.env.PENSTOCK_SEED ?? 12);

const PODS = ['10.1.0.1', '10.1.0.2'];
const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: PODS };
const SETTINGS = 'clusterCIDR: 10.0.0.0/8\n';

async function serves(): Promise<boolean> {
  for (let i = 0; i < 6; i++) if (!PODS.includes(await ask(CART.clusterIP))) return false;
  return true;
}

const tables = () => listedRuleset('tables');

/** What comes before a program that is to have another /run/penstock. */
const RUN = {
  full: ['-o nr_inodes=1', ''],
  'read-only': ['', `mount -o remount,ro ${STATE_FOLDER};`],
} as const;
function within(run: keyof typeof RUN): string[] {
  const [options, then] = RUN[run];
  const script = `mount -t tmpfs ${options} none ${STATE_FOLDER}; ${then} exec "$@"`;
  return ['unshare', '--mount', 'sh', '-ec', script, 'sh'];
}

if (await inNetns(import.meta.url)) {
  t.setTimeout(3_600_000);
  mkdirSync(STATE_FOLDER, { recursive: true });
  const server = await serveOnLoopback(PODS);
  t.teardown(() => server.close());

  for (const run of ['full', 'read-only'] as const)
    t.test(`/run is ${run}`, async (t) => {
      const other = new StandIn('nftables');
      other.write([CART]);
      await using agent = new AgentProcess(`mode: iptables\n${SETTINGS}`);
      agent.write('cart.json', shopObjects(CART));
      agent.start(within(run));
      await agent.ready(60_000);
      t.ok(await serves());
      const note = await command('leave --timeout 1', within(run));
      t.equal(note.code, 2, note.output);
      t.match(note.output, /\n→ /, 'one line, and its remedy');
      t.ok(await serves());
      // Without a place for the note there still are the label, and the configuration.
      agent.configure(`mode: iptables\n${SETTINGS}penstock: {leave: true}\n`);
      t.ok(await eventually(() => agent.output.includes('our rules are removed'), 60_000), agent.output);
      t.notMatch(tables() + savedRules(), /penstock|KUBE-SERVICES/);
      t.ok(await serves());
      agent.configure(`mode: iptables\n${SETTINGS}`);
      t.ok(await eventually(() => savedRules().includes('KUBE-SVC'), 60_000), 'it serves again');
      await agent.end('SIGKILL');
      await command('cleanup --keep nftables', within(run));
      t.notMatch(tables() + savedRules(), /penstock|KUBE-SERVICES/, 'the kernel is clean all the same');
      const again = await command('cleanup --keep nftables');
      t.equal(again.code, 0, again.output);
      t.ok(await serves());
      other.remove();
    });

  t.test('no API server answers', async (t) => {
    const other = new StandIn('iptables-nft');
    other.write([CART]);
    const before = savedRules();
    await using agent = new ClusterAgent('http://127.0.0.1:1');
    t.ok(await eventually(() => agent.output.includes('ECONNREFUSED'), 30_000), agent.output);
    await pause(1000);
    t.equal(savedRules(), before, 'kube-proxy goes on');
    t.notMatch(tables(), /penstock/);
    t.ok(await serves());
    t.ok((await agent.end()) < 15_000, 'it ends when it is told to');
    t.ok(await serves());
    other.remove();
  });

  t.test('penstock migrate is interrupted', async (t) => {
    const other = new StandIn('iptables-nft');
    other.write([CART]);
    const folder = mkdtempSync(join(tmpdir(), 'penstock-migrate-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    writeFileSync(
      join(folder, 'cart.json'),
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: shopObjects(CART) }),
    );
    const state = () => savedRules() + tables();
    const before = state();
    const words = `migrate --manifests ${folder} --node node1 --cluster-cidr 10.0.0.0/8`;
    const random = new Sfc32(SEED);
    for (let i = 0; i < CYCLES; i++) {
      const fault = drawFault(random, 12, ['SIGKILL', 'SIGTERM']);
      const { code } = await command(words, interrupted(fault));
      t.equal(state(), before, `${fault.signal} at ${fault.step}: ${code}`);
    }
    const report = await command(words);
    t.equal(report.code, 0, report.output);
    t.equal(state(), before);
    other.remove();
  });

  t.test('--takeover is interrupted', async (t) => {
    const random = new Sfc32(SEED);
    for (let i = 0; i < CYCLES; i++) {
      const fault = drawFault(random, 90, ['SIGKILL', 'SIGTERM']);
      const said = `${fault.signal} at ${fault.step}`;
      const agents = [0, 1, 2].map(
        () => new AgentProcess(`mode: userspace\n${SETTINGS}penstock: {takeover: true}\n`),
      );
      const [old, fresh, last] = agents;
      if (!old || !fresh || !last) throw new TypeError('three agents');
      for (const agent of agents) agent.write('cart.json', shopObjects(CART));
      const runs = (agent: AgentProcess) => existsSync(`/proc/${agent.pid}`);
      old.start();
      await old.ready(60_000);
      fresh.start(interrupted(fault));
      t.ok(await eventually(() => !runs(old) || !runs(fresh), 60_000), `${said}: one of them ends`);
      // One that was killed after the other had let go leaves nobody who listens; the other is ending then.
      const goesOn = async () => !runs(old) || (await serves());
      t.ok(await eventually(goesOn, 10_000), `${said}: the old one serves on, or is gone`);
      last.start();
      t.ok(await eventually(() => !runs(old), 60_000), `${said}: ${last.output}`);
      t.ok(await eventually(() => last.output.includes('synced'), 60_000), last.output);
      t.ok(await serves(), `${said}: the next one serves`);
      for (const agent of agents) await agent[Symbol.asyncDispose]();
      const cleaned = await command('cleanup');
      t.equal(cleaned.code, 0, cleaned.output);
    }
  });
}
