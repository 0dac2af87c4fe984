/**
 * The swap and the way back, interrupted at any step of any program that takes part: clients are served all the time, and the same call
 * once more ends well. `PENSTOCK_CYCLES=50 PENSTOCK_SEED=7` tries other steps.
 */
import t, { type Test } from 'tap';
import { Sfc32 } from '../../../src/balancing/pick/Sfc32.js';
import { leaveNote } from '../../../src/kernel/host/stateFiles.js';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { command, drawFault, type Ending, interrupted, settles } from '../../support/interrupt.js';
import { listedRuleset, savedRules } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PacedClient } from '../../support/pacedClient.js';
import { StandIn, type StandInMode } from '../../support/StandIn.js';
import { shopObjects } from '../../support/shopObjects.js';

const CYCLES = Number(process.env.PENSTOCK_CYCLES ?? 1);
const SEED = Number(process.env.PENSTOCK_SEED ?? 12);
const LIMIT_MS = 3_600_000;

const PODS = ['10.1.0.1', '10.1.0.2'];
const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: PODS };
const PAIRS: readonly (readonly [string, StandInMode])[] = [
  ['nftables', 'iptables-nft'],
  ['iptables', 'nftables'],
  ['userspace', 'iptables-nft'],
  // Seconds more, where more than a glance is asked for.
  ...(CYCLES > 1 ? ([['nftables', 'nftables']] as const) : []),
];

/** Somewhat more steps than each has: then it ends by itself, which is a case as well. */
const STEPS = { start: 130, leaving: 60, leave: 4, cleanup: 80 };

async function serves(): Promise<boolean> {
  for (let i = 0; i < 6; i++) if (!PODS.includes(await ask(CART.clusterIP))) return false;
  return true;
}

const left = (): readonly string[] => [
  ...(listedRuleset('tables').match(/table ip6? (penstock|kube-proxy).*/g) ?? []),
  ...(savedRules().match(/^:KUBE-.*/gm) ?? []),
];

/** One swap there and back. Resolves to how many of its faults ended a program. */
async function cycle(t: Test, mode: string, stock: StandInMode, random: Sfc32): Promise<number> {
  // Without its process nobody listens where mode userspace leads clients to: it is killed where that is not looked at.
  const signals: readonly Ending[] = mode === 'userspace' ? ['SIGTERM'] : ['SIGKILL', 'SIGTERM'];
  let hits = 0;
  const drawn: string[] = [];
  const draw = (what: keyof typeof STEPS, of = signals) => {
    const fault = drawFault(random, STEPS[what], of);
    drawn.push(`${what} ${fault.signal} at ${fault.step}`);
    return fault;
  };
  const check = async (what: string) => t.ok(await serves(), `${what}: served (${drawn.join(', ')})`);
  let other = new StandIn(stock);
  /** One that runs writes what is missing with its next sync. */
  const theirs = () => {
    if (stock !== 'nftables' && !savedRules().includes('KUBE-SERVICES')) other = new StandIn(stock);
    other.write([CART]);
  };
  await using agent = new AgentProcess(`mode: ${mode}\nclusterCIDR: 10.0.0.0/8\n`);
  agent.write('cart.json', shopObjects(CART));
  theirs();
  const cleanup = `cleanup --keep ${stock.split('-')[0]}`;
  const client = mode === 'userspace' ? undefined : new PacedClient(CART.clusterIP, PODS, 10);

  agent.start(interrupted(draw('start')));
  if (await settles(agent)) await agent.end('SIGTERM');
  else hits++;
  theirs();
  await check('a start');

  agent.output = '';
  agent.start(interrupted({ ...draw('leaving'), after: leaveNote() }));
  t.ok(await settles(agent), `started again: ${agent.output}`);
  theirs();
  if (typeof (await command('leave --timeout 0', interrupted(draw('leave', ['SIGKILL'])))).code === 'string')
    hits++;
  await check('penstock leave');
  const leaving = await command('leave --timeout 15');
  if (leaving.code !== 0) {
    hits++;
    // The agent was ended while it left.
    await agent.ended();
    theirs();
    await check('the agent that leaves');
    agent.output = '';
    agent.start();
    t.ok(await settles(agent), agent.output);
    const again = await command('leave --timeout 60');
    t.equal(again.code, 0, `${again.output}${agent.output}`);
  }
  await check('left');
  t.notMatch(left().join('\n'), /penstock/, 'nothing of ours');

  if (
    typeof (await command('leave --withdraw --timeout 0', interrupted(draw('leave', ['SIGKILL'])))).code ===
    'string'
  )
    hits++;
  await check('penstock leave --withdraw');
  let back = await command('leave --withdraw --timeout 60');
  if (back.code !== 0) {
    // It had left well, and ended after that.
    hits++;
    await agent.ended();
    agent.start();
    t.ok(await settles(agent), agent.output);
    back = await command('leave --withdraw --timeout 60');
  }
  t.equal(back.code, 0, back.output);
  await check('back');
  theirs();
  await agent.end(mode === 'userspace' ? 'SIGTERM' : 'SIGKILL');
  if (typeof (await command(cleanup, interrupted(draw('cleanup')))).code === 'string') hits++;
  await check('penstock cleanup');
  const cleaned = await command(cleanup);
  t.equal(cleaned.code, 0, cleaned.output);
  theirs();
  await check('cleaned');
  await client?.stop();
  t.same(
    client?.failures ?? [],
    [],
    `none of ${client?.connects ?? 0} connects failed (${drawn.join(', ')})`,
  );
  other.remove();
  t.same(left(), []);
  return hits;
}

t.setTimeout(LIMIT_MS);
if (await inNetns(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const server = await serveOnLoopback(PODS);
  t.teardown(() => server.close());
  let hits = 0;

  for (const [mode, stock] of PAIRS) {
    t.test(`mode ${mode} and kube-proxy's ${stock}`, async (t) => {
      t.setTimeout(LIMIT_MS);
      const random = new Sfc32(SEED + PAIRS.findIndex(([of, beside]) => of === mode && beside === stock));
      for (let i = 0; i < CYCLES; i++) hits += await cycle(t, mode, stock, random);
    });
  }
  t.test('faults', async (t) => {
    t.comment(`${hits} programs were ended`);
    t.ok(hits >= 3 * CYCLES, `${hits} programs were ended`);
  });
}
