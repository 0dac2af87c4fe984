/** The rules do to packets what the objects say: a full plan, followed by packets, against the reference. */
import fc from 'fast-check';
import t from 'tap';
import {
  type NftablesOptions,
  nftablesSettings,
} from '../../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { planFull } from '../../../../src/dataplane/nftables/plan/planFull.js';
import type { Outcome } from '../../../../src/explain/Decision.js';
import { evaluate } from '../../../../src/explain/decide.js';
import type { World } from '../../../../src/explain/World.js';
import { type Cidr, IP_FAMILIES, type IpFamily } from '../../../../src/net/ip.js';
import { configs, NODE, nodes, services, slices } from '../../../support/arbitraries.js';
import { tableOf } from '../../../support/builders.js';
import { allFlows } from '../../../support/flows.js';
import { OPTIONS } from '../../../support/nftablesWorld.js';
import { HOST_FACTS } from '../../../support/renderTable.js';
import { NftablesTracer } from '../../../support/traceNftables.js';

const FLOWS = { IPv4: allFlows('IPv4'), IPv6: allFlows('IPv6') };
/** Eight tries at indexes of which more than half are filled, then one at the lower half. */
const TOLERANCE = 0.004;

const worlds = fc.record({
  services: fc.uniqueArray(
    services.map((service) => ({ ...service, options: {} })),
    { minLength: 1, maxLength: 3, size: 'max', selector: (s) => s.name },
  ),
  slices: fc.uniqueArray(slices, { maxLength: 6, size: 'max', selector: (s) => s.name }),
  node: nodes.filter((n) => n.name === NODE),
});

t.test('every flow ends as the reference evaluator says', async (t) => {
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(worlds, configs, async (objects, config) => {
      const table = tableOf([...objects.services, ...objects.slices, objects.node]);
      table.commit();
      const options: NftablesOptions = {
        ...OPTIONS,
        ...config,
        nodePortAddresses: config.nodePortAddresses as Cidr[],
      };
      const world: World = {
        services: objects.services,
        slices: objects.slices,
        nodeName: NODE,
        zone: objects.node.zone,
        nodeAddresses: firstOfEach(objects.node.addresses),
        podCIDRs: firstOfEach(objects.node.podCIDRs),
        hostAddresses: HOST_FACTS.addresses,
      };
      // The settings below have no port for loopback.
      const rules = { ...config, mode: 'nftables', localhostNodePorts: false } as const;
      for (const family of IP_FAMILIES) {
        const settings = nftablesSettings(options, family, table, {
          addresses: HOST_FACTS.addresses,
          localhostPorts: {},
        });
        const ports = table.servicePorts(family).values();
        const { transaction } = await planFull(ports, settings, undefined, 'penstock');
        const tracer = new NftablesTracer(transaction, HOST_FACTS.addresses);
        for (const flow of FLOWS[family]) {
          const expected = evaluate(world, rules, flow);
          const found = tracer.trace(flow);
          seen.add(typeof expected === 'string' ? expected : 'endpoint');
          if (same(expected, found)) continue;
          throw new Error(
            `${JSON.stringify(flow)}\nexpected ${describe(expected)}\nfound    ${describe(found)}`,
          );
        }
      }
    }),
    { numRuns: 150 },
  );
  t.same([...seen].sort(), ['DROP', 'NONE', 'REJECT', 'endpoint'], 'every kind of outcome occurred');
});

function same(expected: Outcome, found: Outcome): boolean {
  if (typeof expected === 'string' || typeof found === 'string') return expected === found;
  return (
    expected.length === found.length &&
    expected.every((destination, i) => {
      const other = found[i];
      return (
        other?.target === destination.target &&
        other.masquerade === destination.masquerade &&
        Math.abs(other.chance - destination.chance) < TOLERANCE
      );
    })
  );
}

function describe(outcome: Outcome): string {
  if (typeof outcome === 'string') return outcome;
  return outcome
    .map((d) => `${d.target}${d.masquerade ? ' masqueraded' : ''} ${d.chance.toFixed(6)}`)
    .join(', ');
}

function firstOfEach(list: readonly string[]): Partial<Record<IpFamily, string>> {
  const v4 = list.find((address) => !address.includes(':'));
  const v6 = list.find((address) => address.includes(':'));
  return { ...(v4 === undefined ? {} : { IPv4: v4 }), ...(v6 === undefined ? {} : { IPv6: v6 }) };
}
