/** The rules do to packets what the objects say: a full render, followed by packets, against the reference. */
import fc from 'fast-check';
import t from 'tap';
import { NO_RULES } from '../../../src/dataplane/iptables/ExistingRules.js';
import { type IptablesOptions, ruleSettings } from '../../../src/dataplane/iptables/IptablesOptions.js';
import { planFull } from '../../../src/dataplane/iptables/planFull.js';
import { RuleSet } from '../../../src/dataplane/iptables/RuleSet.js';
import { renderServicePort } from '../../../src/dataplane/iptables/renderServicePort.js';
import { IP_FAMILIES, type IpAddress, type IpFamily } from '../../../src/net/ip.js';
import type { RoutingTable } from '../../../src/routing/RoutingTable.js';
import { ADDRESSES, configs, NODE, nodes, services, slices } from '../../support/arbitraries.js';
import { cidr, ip, tableOf } from '../../support/builders.js';
import { FakeXtables } from '../../support/FakeXtables.js';
import { allFlows } from '../../support/flows.js';
import {
  evaluate,
  type Outcome,
  type ReferenceConfig,
  type ReferenceWorld,
} from '../../support/referenceEvaluator.js';
import { PacketTracer } from '../../support/tracePacket.js';

const FLOWS = { IPv4: allFlows('IPv4'), IPv6: allFlows('IPv6') };

const worlds = fc.record({
  services: fc.uniqueArray(services, { minLength: 1, maxLength: 3, size: 'max', selector: (s) => s.name }),
  slices: fc.uniqueArray(slices, { maxLength: 6, size: 'max', selector: (s) => s.name }),
  node: nodes.filter((n) => n.name === NODE),
});

t.test('every flow ends as the reference evaluator says', async (t) => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(worlds, configs, fc.boolean(), fc.boolean(), (objects, config, accounting, brief) => {
      const table = tableOf([...objects.services, ...objects.slices, objects.node]);
      table.commit();
      for (const family of IP_FAMILIES) {
        const hostAddresses = [...ADDRESSES[family].host, ip('127.0.0.1'), ip('::1')];
        const fake = new FakeXtables({ family });
        fake.write(render(table, family, config, { accounting, brief, hostAddresses }));
        const tracer = new PacketTracer(fake.dump(), hostAddresses);
        const world: ReferenceWorld = {
          services: objects.services,
          slices: objects.slices,
          nodeName: NODE,
          zone: objects.node.zone,
          nodeAddresses: firstOfEach(objects.node.addresses),
          podCIDRs: firstOfEach(objects.node.podCIDRs),
          hostAddresses,
        };
        for (const flow of FLOWS[family]) {
          const expected = describe(evaluate(world, config, flow));
          const found = describe(tracer.trace(flow));
          seen.add(expected.replace(/\S+:\d+/g, 'endpoint').replace(/^(endpoint).*/, '$1'));
          if (found !== expected) {
            throw new Error(`${JSON.stringify(flow)}\nexpected ${expected}\nfound    ${found}`);
          }
        }
      }
    }),
    { numRuns: 150 },
  );
  t.same([...seen].sort(), ['DROP', 'NONE', 'REJECT', 'endpoint'], 'every kind of outcome occurred');
});

function render(
  table: RoutingTable,
  family: IpFamily,
  config: ReferenceConfig,
  {
    accounting,
    brief,
    hostAddresses,
  }: { accounting: boolean; brief: boolean; hostAddresses: readonly IpAddress[] },
): string {
  const options: IptablesOptions = {
    ...config,
    masqueradeMark: 0x4000,
    nodePortAddresses: config.nodePortAddresses.map(cidr),
    syncPeriodMs: 30_000,
  };
  const facts = { addresses: hostAddresses, randomFully: true, conntrackLiberal: false, accounting };
  const settings = ruleSettings(options, family, table, facts);
  const rules = new RuleSet();
  for (const [key, port] of table.servicePorts(family)) {
    rules.apply([
      { key, before: undefined, after: renderServicePort(port, settings, brief ? 'brief' : 'full') },
    ]);
  }
  return planFull(rules, NO_RULES, settings, Number.POSITIVE_INFINITY).toString();
}

function firstOfEach(list: readonly string[]): Partial<Record<IpFamily, string>> {
  const v4 = list.find((text) => !text.includes(':'));
  const v6 = list.find((text) => text.includes(':'));
  return { ...(v4 === undefined ? {} : { IPv4: v4 }), ...(v6 === undefined ? {} : { IPv6: v6 }) };
}

function describe(outcome: Outcome): string {
  if (typeof outcome === 'string') return outcome;
  return outcome
    .map((d) => `${d.target}${d.masquerade ? ' masqueraded' : ''} ${d.chance.toFixed(9)}`)
    .join(', ');
}
