/** The rules do to packets what the objects say: a full render, followed by packets, against the reference. */
import fc from 'fast-check';
import t from 'tap';
import { NO_RULES } from '../../../../src/dataplane/iptables/plan/ExistingRules.js';
import { planFull } from '../../../../src/dataplane/iptables/plan/planFull.js';
import type { Outcome } from '../../../../src/explain/Decision.js';
import { evaluate } from '../../../../src/explain/decide.js';
import type { World } from '../../../../src/explain/World.js';
import { IP_FAMILIES, type IpFamily } from '../../../../src/net/ip.js';
import { configs, NODE, nodes, services, slices } from '../../../support/arbitraries.js';
import { tableOf } from '../../../support/builders.js';
import { FakeXtables } from '../../../support/FakeXtables.js';
import { allFlows } from '../../../support/flows.js';
import { HOST_FACTS, rulesOf, settingsOf } from '../../../support/renderTable.js';
import { PacketTracer } from '../../../support/tracePacket.js';

const FLOWS = { IPv4: allFlows('IPv4'), IPv6: allFlows('IPv6') };

const worlds = fc.record({
  services: fc.uniqueArray(services, { minLength: 1, maxLength: 3, size: 'max', selector: (s) => s.name }),
  slices: fc.uniqueArray(slices, { maxLength: 6, size: 'max', selector: (s) => s.name }),
  node: nodes.filter((n) => n.name === NODE),
});

const commentStyles = fc.constantFrom('full' as const, 'brief' as const);

t.test('every flow ends as the reference evaluator says', async (t) => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(worlds, configs, fc.boolean(), commentStyles, (objects, config, accounting, comments) => {
      const table = tableOf([...objects.services, ...objects.slices, objects.node]);
      table.commit();
      for (const family of IP_FAMILIES) {
        const fake = new FakeXtables({ family });
        const settings = settingsOf(family, table, config, { accounting });
        const rules = rulesOf(table, settings, comments);
        fake.write(planFull(rules, NO_RULES, settings, Number.POSITIVE_INFINITY).toString());
        const tracer = new PacketTracer(fake.dump(), HOST_FACTS.addresses);
        const world: World = {
          services: objects.services,
          slices: objects.slices,
          nodeName: NODE,
          zone: objects.node.zone,
          nodeAddresses: firstOfEach(objects.node.addresses),
          podCIDRs: firstOfEach(objects.node.podCIDRs),
          hostAddresses: HOST_FACTS.addresses,
        };
        for (const flow of FLOWS[family]) {
          const expected = describe(evaluate(world, { ...config, mode: 'iptables' }, flow));
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
