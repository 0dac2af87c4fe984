/** Random objects, random packets, real connections: what explain says is what the kernel does. */
import fc from 'fast-check';
import pino from 'pino';
import type { Test } from 'tap';
import { UNHEARD } from '../../src/dataplane/Dataplane.js';
import { type Explanation, explain } from '../../src/explain/explain.js';
import type { Flow, Mode } from '../../src/explain/World.js';
import { rulesOf, worldOf } from '../../src/explain/worldOf.js';
import { hostAddresses } from '../../src/kernel/host/hostAddresses.js';
import { Sysctls } from '../../src/kernel/sysctl/Sysctls.js';
import { openMode } from '../../src/modes/openMode.js';
import type { IpAddress } from '../../src/net/ip.js';
import type { ApiObject } from '../../src/objects/ApiObject.js';
import { RoutingTable } from '../../src/routing/RoutingTable.js';
import { systemClock } from '../../src/time/Clock.js';
import { runFile } from '../unit/config/runCommand.js';
import { ADDRESSES, NODE, nodes, services, slices } from './arbitraries.js';
import { remove, upsert } from './builders.js';
import { allFlows } from './flows.js';
import { shell } from './iptables.js';
import type { PacketWorld, Seen } from './packetWorld.js';

/** Sets of objects of one configuration. */
const WORLDS = 10;
/** How long a packet that was silent may take at the second try, in milliseconds. */
const PATIENT_MS = 5000;

const worlds = fc.record({
  services: fc.uniqueArray(
    services.map((service) => ({ ...service, options: {} })),
    { minLength: 1, maxLength: 3, size: 'max', selector: (s) => s.name },
  ),
  slices: fc.uniqueArray(slices, { maxLength: 6, size: 'max', selector: (s) => s.name }),
  node: nodes.filter((n) => n.name === NODE && n.addresses.includes(ADDRESSES.IPv4.host[0] as IpAddress)),
});
const settings = fc.record({
  masqueradeAll: fc.boolean(),
  detect: fc.constantFrom(
    'clusterCIDR: 10.244.0.0/16,fd00:10::/32',
    'detectLocalMode: NodeCIDR',
    'detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}',
    'detectLocalMode: ClusterCIDR',
  ),
  nodePortAddresses: fc.constantFrom('[]', '[192.168.0.0/24, "fd00:1::/64"]', '[primary]', '[127.0.0.0/8]'),
  localhostNodePorts: fc.boolean(),
});

/** Senders that have a process; the bridge is the only way in for pods. */
const FLOWS = (['IPv4', 'IPv6'] as const).flatMap((family) => {
  const { host, client, pods } = ADDRESSES[family];
  const loopback = family === 'IPv4' ? '127.0.0.1' : '::1';
  const senders: readonly string[] = [host[0] ?? '', client, ...pods, loopback];
  return allFlows(family).filter((flow) => flow.interface !== 'cni7' && senders.includes(flow.source));
});

/** The first flows of each end: most of all possible packets are nobody's business. */
function spread(
  order: readonly Flow[],
  perWorld: number,
  endOf: (flow: Flow) => Explanation['outcome'],
): Flow[] {
  const room: Record<Explanation['outcome'], number> = {
    endpoint: perWorld - 16,
    refused: 6,
    dropped: 6,
    node: 2,
    'not-a-service': 2,
  };
  const taken = order.filter((flow) => room[endOf(flow)]-- > 0).slice(0, perWorld);
  const rest = order.filter((flow) => !taken.includes(flow));
  return [...taken, ...rest.slice(0, perWorld - taken.length)];
}

function agrees(
  { outcome, endpoints, candidates, masquerade }: Explanation,
  flow: Flow,
  seen: Seen,
): boolean {
  if (typeof seen === 'string') {
    // A datagram that was taken over loopback and finds no endpoint is not always answered.
    if (outcome === 'refused') return seen === 'REFUSED' || (seen === 'SILENT' && isLoopbackDatagram(flow));
    if (outcome === 'dropped') return seen === 'SILENT';
    return outcome !== 'endpoint' || (seen === 'SILENT' && mayReachItself({ candidates, masquerade }, flow));
  }
  if (outcome !== 'endpoint')
    return outcome === 'not-a-service' && seen.target.replace('[', '').startsWith(flow.destination);
  const candidate = candidates.find((c) => c.endpoint === seen.target);
  const changed = seen.source !== flow.source;
  return endpoints.includes(seen.target) && changed === (candidate?.masquerade ?? masquerade);
}

/**
 * A pod that the objects place on another node is here all the same, so a client may be its own endpoint, and nothing masquerades
 * that: the pod's kernel drops what comes from outside with an address of its own as source.
 */
function mayReachItself(
  { candidates, masquerade }: Pick<Explanation, 'candidates' | 'masquerade'>,
  { source }: Flow,
): boolean {
  return candidates.some(
    (c) => c.endpoint.replace(/[[\]]|:\d+$/g, '') === source && !(c.masquerade ?? masquerade),
  );
}

function isLoopbackDatagram({ protocol, destination }: Flow): boolean {
  return protocol === 'UDP' && (destination === '::1' || destination.startsWith('127.'));
}

/** Loopback is the node: what it sees there is no other address than its own. */
function isPlain(flow: Flow): boolean {
  return !flow.source.startsWith('127.') && flow.source !== '::1';
}

/** What `mode` leaves of rules when its dataplane is closed. */
const CLEAN = 'nft flush ruleset 2>/dev/null || true; conntrack -F 2>/dev/null || true';
const CLEAN_IPVS = `ipvsadm -C; ip link del kube-ipvs0 2>/dev/null || true; for t in iptables-legacy ip6tables-legacy; do
  for table in filter nat mangle; do $t -t $table -F; $t -t $table -X; done; done; ipset destroy; ${CLEAN}`;

/** How many were asked for, and from where chance begins: PENSTOCK_PAIRS and PENSTOCK_SEED, else these. */
export function askedPairs(otherwise: number): { readonly pairs: number; readonly seed: number } {
  return {
    pairs: Number(process.env.PENSTOCK_PAIRS ?? otherwise),
    seed: Number(process.env.PENSTOCK_SEED ?? 20_261_128),
  };
}

export interface PairsOptions {
  readonly pairs: number;
  readonly seed: number;
  /** Milliseconds that a packet may stay unanswered, when not as usual. */
  readonly patienceMs?: number;
}

/** In the namespace that `wire` was opened in. Clears its rules. */
export async function comparePairs(
  t: Test,
  wire: PacketWorld,
  mode: Mode,
  { pairs, seed, patienceMs }: PairsOptions,
): Promise<void> {
  const log = pino({ level: 'silent' });
  const clean = mode === 'ipvs' ? CLEAN_IPVS : CLEAN;
  // To apply a set of objects and to wait for silence costs the same for all packets of the set.
  const perWorld = pairs > 1000 ? 90 : 30;
  const ends = new Map<string, number>();
  const wrong: string[] = [];
  let sent = 0;
  let again = 0;
  const configurations = fc.sample(settings, {
    seed,
    numRuns: Math.ceil(pairs / perWorld / WORLDS),
  });
  const sets = fc.sample(worlds, { seed, numRuns: Math.ceil(pairs / perWorld) });
  const orders = fc.sample(fc.shuffledSubarray(FLOWS, { minLength: FLOWS.length }), {
    seed,
    numRuns: sets.length,
  });
  for (const [c, chosen] of configurations.entries()) {
    const { config } = runFile(`mode: ${mode}
hostnameOverride: ${NODE}
${chosen.detect}
nodePortAddresses: ${chosen.nodePortAddresses}
iptables: {masqueradeAll: ${chosen.masqueradeAll}, localhostNodePorts: ${chosen.localhostNodePorts}}
nftables: {masqueradeAll: ${chosen.masqueradeAll}}
penstock: {sourceAddress: transparent, proxyThreads: 1}
`);
    const addresses = hostAddresses();
    const host = {
      clock: systemClock,
      sysctls: new Sysctls('/tmp/penstock-explain-test'),
      addresses: () => addresses,
      ignoreLink: () => {},
    };
    const { dataplane, prepareHost } = await openMode(config, host, UNHEARD, log);
    await prepareHost();
    const table = new RoutingTable({
      nodeName: NODE,
      serviceProxyName: '',
      fallbackAddresses: {},
      fixedAddresses: {},
    });
    let present: readonly ApiObject[] = [];
    for (const [w, set] of sets.slice(c * WORLDS, (c + 1) * WORLDS).entries()) {
      const objects: ApiObject[] = [...set.services, ...set.slices, set.node];
      table.apply([...present.filter((o) => o.kind !== 'Node').map(remove), ...objects.map(upsert)]);
      present = objects;
      await dataplane.sync(table, table.commit());
      shell('conntrack -F 2>/dev/null || true');
      const world = worldOf(table, '', addresses);
      const rules = rulesOf(config, world);
      const order = orders[c * WORLDS + w] ?? [];
      const flows = spread(order, perWorld, (flow) => explain(world, rules, flow).outcome).slice(
        0,
        pairs - sent,
      );
      sent += flows.length;
      const results = await Promise.all(
        flows.map(async (flow) => ({ flow, seen: await wire.send(flow, patienceMs) })),
      );
      for (const { flow, seen: first } of results) {
        const said = explain(world, rules, flow);
        ends.set(said.outcome, (ends.get(said.outcome) ?? 0) + 1);
        const judged = isPlain(flow) ? said : { ...said, candidates: [], masquerade: true };
        if (agrees(judged, flow, first)) continue;
        // A busy machine answers late: what was silent is asked again, alone. What answered is never asked again.
        const seen =
          first === 'SILENT' ? await wire.send(flow, Math.max(PATIENT_MS, 2 * (patienceMs ?? 0))) : first;
        if (first === 'SILENT') again++;
        if (agrees(judged, flow, seen)) continue;
        wrong.push(
          `configuration ${c}, set ${w}: ${JSON.stringify(flow)}\n  said ${said.outcome} ${said.reason} ${said.endpoints.join(' ')} ${said.masquerade}\n  seen ${JSON.stringify(seen)}\n  ${JSON.stringify(chosen)}\n  ${JSON.stringify(set)}`,
        );
      }
    }
    await dataplane.close();
    shell(clean);
  }
  t.equal(wrong.length, 0, `${wrong.length} of ${sent} differ:\n${wrong.slice(0, 3).join('\n')}`);
  t.equal(sent, pairs);
  t.comment(`${sent} packets, ${again} sent again: ${[...ends].map(([end, n]) => `${end} ${n}`).join(', ')}`);
  // One set of objects need not have all.
  if (pairs <= perWorld) return;
  for (const end of ['endpoint', 'refused', 'dropped', 'node', 'not-a-service'])
    t.ok((ends.get(end) ?? 0) > 0, `${end} occurred`);
}
