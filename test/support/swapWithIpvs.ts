/** A node goes from kube-proxy in mode ipvs to penstock and back under traffic, while Services come, go and scale. */
import type { Test } from 'tap';
import { AgentProcess, PENSTOCK } from './AgentProcess.js';
import { eventually, shell } from './iptables.js';
import { addresses, legacyRules, READY_MS, servers, sets, settings } from './ipvsAgent.js';
import { leaveNode } from './leaveNode.js';
import { ask } from './loopbackEndpoints.js';
import { PacedClient } from './pacedClient.js';
import type { StandInService } from './StandIn.js';
import { StandInIpvs } from './StandInIpvs.js';
import { shopObjects } from './shopObjects.js';

export const PODS = ['10.1.0.1', '10.1.0.2', '10.1.0.3'];
const [FIRST = '', SECOND = '', LAST = ''] = PODS;
export const CART: StandInService = { name: 'cart', clusterIP: '172.30.0.1', endpoints: PODS };
const FRESH: StandInService = { name: 'fresh', clusterIP: '172.30.0.2', endpoints: [FIRST] };
const GONE: StandInService = { name: 'gone', clusterIP: '172.30.0.3', endpoints: [FIRST] };
const LATE: StandInService = { name: 'late', clusterIP: '172.30.0.4', endpoints: [SECOND] };
export const scaled = (...endpoints: readonly string[]) => ({ ...CART, endpoints });

/** Between two connects: the machine has one slow processor, which the agent needs as well. */
export const PAUSE_MS = 30;

const ipvsState = () => servers() + sets() + addresses();
/** Chains of Services, which only mode iptables has. */
const SERVICE_CHAINS = /KUBE-(SVC|SEP)-/;

/** Of penstock alone, in whatever mode. */
export const ofOurs = () =>
  (legacyRules() + sets() + servers()).match(/.*(PENSTOCK|-f \d+|REDIRECT).*/g) ?? [];

/** No connect fails, what only penstock had is gone, and in the end nothing is left of either. */
export async function swapWithIpvs(t: Test, mode: 'ipvs' | 'iptables'): Promise<void> {
  const other = new StandInIpvs();
  await using agent = new AgentProcess(settings(mode));
  const write = (services: readonly StandInService[]) =>
    agent.write(
      'shop.json',
      services.flatMap((service) => shopObjects(service)),
    );
  await other.write([CART, GONE]);
  t.ok(PODS.includes(await ask(CART.clusterIP)), 'kube-proxy serves');
  const client = new PacedClient(CART.clusterIP, PODS, PAUSE_MS);

  write([CART, GONE]);
  agent.start();
  await agent.ready(READY_MS);
  if (mode === 'iptables')
    t.ok(await eventually(() => ipvsState() === '', READY_MS), 'mode ipvs of kube-proxy is gone');
  write([scaled(SECOND, LAST), FRESH]);
  t.ok(await eventually(async () => (await ask(FRESH.clusterIP)) === FIRST, READY_MS), 'a new Service');
  t.notMatch(servers() + legacyRules(), GONE.clusterIP, 'one that went');

  const leaving = leaveNode('--timeout', '700');
  t.ok(await eventually(() => agent.output.includes('still waiting'), READY_MS), 'it waits for kube-proxy');
  await other.write([scaled(SECOND, LAST), FRESH]);
  const { code, output } = await leaving;
  t.equal(code, 0, output);
  t.match(output, 'left: kube-proxy, mode ipvs serves this node');
  t.strictSame(ofOurs(), [], 'nothing is left that only penstock had');
  t.notMatch(legacyRules(), SERVICE_CHAINS, 'nor of mode iptables');

  // kube-proxy alone follows what changes from now on.
  write([scaled(LAST), LATE]);
  await other.write([scaled(LAST), LATE]);
  t.equal(await ask(LATE.clusterIP), SECOND, 'a later Service');
  t.same([await ask(CART.clusterIP), await ask(CART.clusterIP)], [LAST, LAST], 'one endpoint');

  await client.stop();
  t.ok(client.connects > 20, `${client.connects} connects were made`);
  t.same(client.failures, [], 'none failed');
  await agent.end('SIGTERM');
  await other.remove();
  shell(`${PENSTOCK} cleanup`);
  t.notMatch(legacyRules(), /KUBE|PENSTOCK/);
  t.equal(ipvsState(), '');
}
