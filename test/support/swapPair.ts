/**
 * A node goes from kube-proxy to penstock and back, then both serve side by side, then each of them ends: every order of a pair of modes
 * that needs NAT of nftables and IPVS in one kernel. Clients connect all the time, while Services come, go and scale.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { AgentProcess, PENSTOCK } from './AgentProcess.js';
import { eventually, listedRuleset, plain } from './iptables.js';
import { addresses, servers, sets, settings } from './ipvsAgent.js';
import { leaveNode } from './leaveNode.js';
import { ask } from './loopbackEndpoints.js';
import { PacedClient } from './pacedClient.js';
import { StandIn, type StandInService } from './StandIn.js';
import { StandInIpvs } from './StandInIpvs.js';
import { shopObjects } from './shopObjects.js';

/** kube-proxy's mode is the other one. */
export type OursInPair = 'nftables' | 'ipvs';

export const PAIR_PODS = ['10.1.0.1', '10.1.0.2', '10.1.0.3'];
const [FIRST = '', SECOND = '', LAST = ''] = PAIR_PODS;
const CART: StandInService = { name: 'cart', clusterIP: '172.30.0.1', endpoints: PAIR_PODS };
const FRESH: StandInService = { name: 'fresh', clusterIP: '172.30.0.2', endpoints: [FIRST] };
const GONE: StandInService = { name: 'gone', clusterIP: '172.30.0.3', endpoints: [FIRST] };
const LATE: StandInService = { name: 'late', clusterIP: '172.30.0.4', endpoints: [SECOND] };
const scaled = (...endpoints: readonly string[]) => ({ ...CART, endpoints });

/** Milliseconds. Each instruction is emulated. */
const READY_MS = 60_000;
const PAUSE_MS = 60;
const SETTLE_MS = 4000;

const ipvsState = () => servers() + sets() + addresses();
const tables = () => (listedRuleset('tables').match(/ip6? \S+/g) ?? []).sort().join(', ');
const ofOurs = (ours: OursInPair) =>
  ours === 'ipvs' ? ipvsState() : /ip6? penstock\b.*/.exec(tables())?.[0];

/** While clients go on. */
async function cleanUp(...args: readonly string[]): Promise<void> {
  const child = spawn(...plain(PENSTOCK, 'cleanup', ...args), { stdio: ['ignore', 'ignore', 'inherit'] });
  const [status] = await once(child, 'close');
  if (status !== 0) throw new Error(`penstock cleanup ended with ${status}`);
}

/** Every one of several new connections goes there. */
async function whoAnswers(address = CART.clusterIP): Promise<string> {
  const answers = new Set<string>();
  for (let i = 0; i < 6; i++) answers.add(await ask(address));
  return [...answers].sort().join(' ');
}

/** As StandInIpvs: nothing blocks. */
function inNftables() {
  const standIn = new StandIn('nftables');
  return {
    write: (services: readonly StandInService[]) => standIn.writeAside(services),
    remove: () => standIn.remove(),
  };
}

export async function swapPair(t: Test, ours: OursInPair): Promise<void> {
  const stock = ours === 'nftables' ? 'ipvs' : 'nftables';
  const other = stock === 'ipvs' ? new StandInIpvs() : inNftables();
  await using agent = new AgentProcess(settings(ours));
  const write = (services: readonly StandInService[]) =>
    agent.write(
      'shop.json',
      services.flatMap((service) => shopObjects(service)),
    );
  const both = async (services: readonly StandInService[]) => {
    write(services);
    await other.write(services);
  };
  const serves = (address: string, endpoint: string, what: string) =>
    eventually(async () => (await whoAnswers(address)) === endpoint, READY_MS).then((ok) => t.ok(ok, what));
  const begun = performance.now();
  const step = (text: string) => t.comment(`${((performance.now() - begun) / 1000).toFixed(0)} s: ${text}`);

  step('kube-proxy was there first');
  await other.write([CART, GONE]);
  t.ok(PAIR_PODS.includes(await ask(CART.clusterIP)), 'kube-proxy serves');
  const client = new PacedClient(CART.clusterIP, PAIR_PODS, PAUSE_MS);
  const failed = (what: string) => t.same(client.failures, [], `${what}: none of ${client.connects} failed`);
  write([CART, GONE]);
  agent.start();
  await agent.ready(READY_MS * 3);
  // What mode ipvs of kube-proxy left is removed by the agent; the table of its mode nftables by who swaps (replace-kube-proxy.md 5).
  if (stock === 'ipvs') t.ok(await eventually(() => ipvsState() === '', READY_MS), 'their mode ipvs is gone');
  else other.remove();
  failed('kube-proxy → penstock');
  write([scaled(SECOND, LAST), FRESH]);
  await serves(FRESH.clusterIP, FIRST, 'a new Service');
  t.not(await ask(GONE.clusterIP), FIRST, 'one that went');
  failed('Services came, went and were scaled');

  step('penstock was there first, and leaves');
  const leaving = leaveNode('--timeout', '400');
  t.ok(await eventually(() => agent.output.includes('no other proxy has rules here'), READY_MS), 'it waits');
  await other.write([scaled(SECOND, LAST)]);
  t.ok(
    await eventually(() => /still waiting: .*shop\/fresh/.test(agent.output), READY_MS),
    'theirs lack one',
  );
  await serves(FRESH.clusterIP, FIRST, 'it serves on what only it has');
  await other.write([scaled(SECOND, LAST), FRESH]);
  const { code, output } = await leaving;
  t.equal(code, 0, output);
  t.match(output, `left: kube-proxy, mode ${stock} serves this node`);
  t.notOk(ofOurs(ours), 'nothing of ours is left');
  await both([scaled(LAST), LATE]);
  await serves(LATE.clusterIP, SECOND, 'a later Service, of theirs alone');
  t.equal(await whoAnswers(), LAST, 'with one endpoint');
  failed('penstock → kube-proxy');

  step('both run');
  await both([CART]);
  const back = await leaveNode('--withdraw', '--timeout', '300');
  t.equal(back.code, 0, back.output);
  // A kube-proxy that runs writes what is missing with its next sync.
  await other.write([CART]);
  await pause(SETTLE_MS);
  failed('penstock came back while kube-proxy runs');
  write([scaled(FIRST)]);
  await other.write([scaled(SECOND)]);
  const decides = ours === 'nftables' ? FIRST : SECOND;
  await serves(
    CART.clusterIP,
    decides,
    `mode nftables decides, which is ${ours === 'nftables' ? 'ours' : 'theirs'}`,
  );

  step('penstock ends first');
  await both([CART]);
  await pause(SETTLE_MS);
  await agent.end('SIGTERM');
  failed('penstock ended');
  await cleanUp('--keep', stock);
  t.notOk(ours === 'nftables' && ofOurs(ours), 'cleanup took ours');
  await other.write([scaled(SECOND)]);
  await serves(CART.clusterIP, SECOND, 'theirs');
  failed('cleanup');

  step('kube-proxy ends first, and penstock is killed, and started again');
  await both([CART]);
  agent.start();
  await agent.ready(READY_MS * 3);
  await agent.end('SIGKILL');
  failed('killed');
  agent.start();
  await agent.ready(READY_MS * 3);
  if (stock === 'ipvs') t.ok(await eventually(() => ipvsState() === '', READY_MS), 'theirs is gone');
  else other.remove();
  write([scaled(LAST)]);
  await serves(CART.clusterIP, LAST, 'ours alone');
  await client.stop();
  failed('in the end');
  t.ok(client.connects > 100, `${client.connects} connects were made`);

  await agent.end('SIGTERM');
  if (stock === 'ipvs') await other.remove();
  await cleanUp();
  t.equal(ipvsState(), '');
  t.notMatch(tables(), /penstock|kube-proxy/);
  step('end');
}
