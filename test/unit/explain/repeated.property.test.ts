/**
 * One address in many slices, with other facts in each: node, readiness, hints, port numbers, weights. Every mode writes what the
 * evaluator says, for the endpoint itself as client, too.
 */
import fc from 'fast-check';
import t from 'tap';
import { reducedWeights } from '../../../src/balancing/reducedWeights.js';
import { NO_RULES } from '../../../src/dataplane/iptables/plan/ExistingRules.js';
import { planFull as planIptables } from '../../../src/dataplane/iptables/plan/planFull.js';
import { ipvsSettings } from '../../../src/dataplane/ipvs/desired/IpvsSettings.js';
import { placeElement } from '../../../src/dataplane/ipvs/desired/SetEntry.js';
import {
  needsMark,
  servicePortState,
  type WantedServer,
} from '../../../src/dataplane/ipvs/desired/servicePortState.js';
import { nftablesSettings } from '../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { planFull as planNftables } from '../../../src/dataplane/nftables/plan/planFull.js';
import type { Destination, Outcome } from '../../../src/explain/Decision.js';
import { decide, evaluate } from '../../../src/explain/decide.js';
import type { Flow, Mode, Rules, World } from '../../../src/explain/World.js';
import { virtualServerKey } from '../../../src/kernel/ipvs/VirtualServer.js';
import type { IpFamily } from '../../../src/net/ip.js';
import type { Service } from '../../../src/objects/Service.js';
import type { RoutingTable } from '../../../src/routing/RoutingTable.js';
import { ADDRESSES, NODE, slices } from '../../support/arbitraries.js';
import { ip, node, service, tableOf } from '../../support/builders.js';
import { FakeXtables } from '../../support/FakeXtables.js';
import { IPVS_GOLDEN_OPTIONS } from '../../support/goldenIpvs.js';
import { OPTIONS } from '../../support/nftablesWorld.js';
import { DEFAULT_CONFIG, HOST_FACTS, rulesOf, settingsOf } from '../../support/renderTable.js';
import { NftablesTracer } from '../../support/traceNftables.js';
import { PacketTracer } from '../../support/tracePacket.js';

const FAMILY: IpFamily = 'IPv4';
const { pods, cluster, external, host, client } = ADDRESSES[FAMILY];
const POD = pods[0] as string;
const THIS_NODE = node({
  name: NODE,
  zone: 'z1',
  addresses: [host[0] as never],
  podCIDRs: [ADDRESSES[FAMILY].podCIDR],
});
/** Shares of mode nftables are found by tries. */
const TOLERANCE = 0.004;
const FACTS = { addresses: HOST_FACTS.addresses, randomFully: true, localhostPorts: {} };

/** Two Services that differ in what the policies are, each reached at all kinds of addresses. */
const pairs = fc
  .tuple(
    fc.array(fc.record({ internal: fc.boolean(), external: fc.boolean(), weight: fc.nat(3) }), {
      minLength: 2,
      maxLength: 2,
    }),
    fc.array(fc.constantFrom('TCP' as const, 'TCP' as const, 'UDP' as const), { minLength: 2, maxLength: 2 }),
  )
  .map(([uses, protocols]) =>
    uses.map(
      (use, i): Service =>
        service({
          namespace: 'ns',
          name: ['a', 'b'][i] as string,
          type: 'NodePort',
          clusterIPs: { IPv4: cluster[i] as never },
          externalIPs: [external[i] as never],
          ports: [{ name: 'p', protocol: protocols[i] as 'TCP', port: 80, nodePort: 30_001 + i }],
          internalTrafficPolicy: use.internal ? 'Local' : 'Cluster',
          externalTrafficPolicy: use.external ? 'Local' : 'Cluster',
          options: use.weight === 3 ? {} : { weights: JSON.stringify({ [POD]: use.weight }) },
        }),
    ),
  );

/** Of two addresses at most, so that nearly every one is repeated. */
const repeated = fc
  .uniqueArray(slices, { minLength: 2, maxLength: 6, size: 'max', selector: (s) => s.name })
  .map((found) =>
    found.map((slice, i) => ({
      ...slice,
      family: FAMILY,
      name: `s${i}`,
      serviceName: slice.serviceName === 'c' ? 'a' : slice.serviceName,
      endpoints: slice.endpoints.map((each, j) => ({ ...each, address: ip(pods[(i * j) % 2] as string) })),
    })),
  );

function flowsTo({ clusterIPs, externalIPs, ports }: Service): readonly Flow[] {
  const [port] = ports;
  if (port === undefined) return [];
  const { protocol } = port;
  return [
    ...[clusterIPs.IPv4, ...externalIPs].map((vip) => ({ destination: vip as string, port: port.port })),
    { destination: host[0] as string, port: port.nodePort },
  ].flatMap((place): Flow[] => [
    { origin: 'pod', source: POD, interface: 'cni0', protocol, ...place },
    { origin: 'pod', source: pods[1] as string, interface: 'cni0', protocol, ...place },
    { origin: 'external', source: client, interface: 'eth0', protocol, ...place },
  ]);
}

type Tell = (flow: Flow, world: World, rules: Rules) => Outcome;

const MODES: Readonly<Record<Mode, (table: RoutingTable) => Promise<Tell>>> = {
  iptables: async (table) => {
    const fake = new FakeXtables({ family: FAMILY });
    const settings = settingsOf(FAMILY, table);
    fake.write(
      planIptables(rulesOf(table, settings), NO_RULES, settings, Number.POSITIVE_INFINITY).toString(),
    );
    const tracer = new PacketTracer(fake.dump(), HOST_FACTS.addresses);
    return (flow) => tracer.trace(flow);
  },
  nftables: async (table) => {
    const options = { ...OPTIONS, detectLocal: DEFAULT_CONFIG.detectLocal };
    const settings = nftablesSettings(options, FAMILY, table, FACTS);
    const { transaction } = await planNftables(
      table.servicePorts(FAMILY).values(),
      settings,
      undefined,
      'penstock',
    );
    const tracer = new NftablesTracer(transaction, HOST_FACTS.addresses);
    return (flow) => tracer.trace(flow);
  },
  ipvs: async (table) => ofIpvs(table),
  userspace: async (table) => ofLists(table),
};

/** Virtual servers, and the set that masquerades hairpins; the rules of policies are constant and tested elsewhere. */
function ofIpvs(table: RoutingTable): Tell {
  const settings = ipvsSettings(
    { ...IPVS_GOLDEN_OPTIONS, detectLocal: DEFAULT_CONFIG.detectLocal, nodePortAddresses: [] },
    FAMILY,
    table,
    FACTS,
  );
  const servers = new Map<string, WantedServer>();
  const hairpins = new Set<string>();
  [...table.servicePorts(FAMILY).values()].forEach((port, i) => {
    const state = servicePortState(port, settings, needsMark(port) ? i + 1 : undefined, new Set());
    for (const server of state.servers) servers.set(server.key, server);
    for (const { set, element } of state.entries) if (set === 'KUBE-LOOP-BACK') hairpins.add(element);
  });
  return (flow, world, rules) => {
    const { protocol, destination, port } = flow;
    const id = { family: FAMILY, protocol, address: ip(destination), port };
    let server = servers.get(virtualServerKey(id));
    if (flow.origin === 'pod' && server?.clusterMark !== undefined)
      server = servers.get(virtualServerKey({ family: FAMILY, mark: server.clusterMark }));
    if (server === undefined) return 'NONE';
    if (server.drop) return 'DROP';
    const { verdict } = decide(world, rules, flow);
    const applies = verdict.type === 'forward' && verdict.masquerade.applies;
    const serving = [...server.realServers].filter(([, { weight }]) => weight > 0);
    const total = serving.reduce((sum, [, { weight }]) => sum + weight, 0);
    if (total === 0) return 'REJECT';
    return serving.map(([target, { address, port: number, weight }]): Destination => {
      const element = `${placeElement(address, protocol, number)},${flow.source}`;
      return { target, chance: weight / total, masquerade: applies || hairpins.has(element) };
    });
  };
}

/** What the proxy is given: its lists and weights. Whose address it uses is its own affair. */
function ofLists(table: RoutingTable): Tell {
  return (flow, world, rules) => {
    const { verdict, winner } = decide(world, rules, flow);
    if (verdict.type !== 'forward' || winner === undefined) return evaluate(world, rules, flow);
    const key = `ns/${winner.service.name}:p/${flow.protocol}`;
    const port = table.servicePorts(FAMILY).get(key);
    const list = verdict.policy === 'Local' ? port?.endpoints.local : port?.endpoints.cluster;
    if (port === undefined || list === undefined) return 'NONE';
    const weights = reducedWeights(list, port.balancing.weights);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return list.flatMap(({ target, address }, i) => {
      const chance = (weights[i] ?? 0) / total;
      const masquerade = verdict.masquerade.applies || address === flow.source;
      return chance > 0 ? [{ target, chance, masquerade }] : [];
    });
  };
}

t.test('an address that slices contradict each other about, in every mode', async (t) => {
  const hairpins = new Map<Mode, number>();
  await fc.assert(
    fc.asyncProperty(pairs, repeated, async (both, listed) => {
      const table = tableOf([...both, ...listed, THIS_NODE]);
      table.commit();
      const world: World = {
        services: both,
        slices: listed,
        nodeName: NODE,
        zone: THIS_NODE.zone,
        nodeAddresses: { IPv4: host[0] as string },
        podCIDRs: { IPv4: ADDRESSES[FAMILY].podCIDR },
        hostAddresses: HOST_FACTS.addresses,
      };
      for (const mode of Object.keys(MODES) as Mode[]) {
        const rules: Rules = { ...DEFAULT_CONFIG, mode, localhostNodePorts: false };
        const tell = await MODES[mode](table);
        for (const flow of both.flatMap(flowsTo)) {
          const expected = evaluate(world, rules, flow);
          const found = tell(flow, world, rules);
          if (
            typeof expected !== 'string' &&
            expected.some(({ target }) => target.startsWith(`${flow.source}:`))
          )
            hairpins.set(mode, (hairpins.get(mode) ?? 0) + 1);
          if (!same(expected, found))
            throw new Error(
              `${mode} ${JSON.stringify(flow)}\nexpected ${told(expected)}\nfound    ${told(found)}`,
            );
        }
      }
    }),
    {
      numRuns: Number(process.env.PENSTOCK_RUNS ?? 40),
      ...(process.env.PENSTOCK_SEED ? { seed: Number(process.env.PENSTOCK_SEED) } : {}),
    },
  );
  for (const mode of Object.keys(MODES) as Mode[])
    t.ok((hairpins.get(mode) ?? 0) > 0, `hairpins in mode ${mode}`);
});

function same(expected: Outcome, found: Outcome): boolean {
  if (typeof expected === 'string' || typeof found === 'string') return expected === found;
  const sorted = [...found].sort((a, b) => (a.target < b.target ? -1 : 1));
  return (
    expected.length === sorted.length &&
    expected.every(
      ({ target, masquerade, chance }, i) =>
        sorted[i]?.target === target &&
        sorted[i]?.masquerade === masquerade &&
        Math.abs((sorted[i]?.chance ?? 0) - chance) < TOLERANCE,
    )
  );
}

function told(outcome: Outcome): string {
  if (typeof outcome === 'string') return outcome;
  return outcome
    .map((d) => `${d.target}${d.masquerade ? ' masqueraded' : ''} ${d.chance.toFixed(4)}`)
    .join(', ');
}
