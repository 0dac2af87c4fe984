/** The packets of kube-proxy's own tests, explained: all 440, in every mode, with the differences that are meant. */
import t from 'tap';
import { explain } from '../../../src/explain/explain.js';
import { readFlow } from '../../../src/explain/names.js';
import type { Mode, Rules, World } from '../../../src/explain/World.js';
import type { EndpointSlice } from '../../../src/objects/EndpointSlice.js';
import { parseObject } from '../../../src/objects/read/parseObject.js';
import type { Service } from '../../../src/objects/Service.js';
import { cidr } from '../../support/builders.js';
import { needsShared, readShared } from '../../support/shared.js';

interface Scenario {
  readonly name: string;
  readonly modes: readonly Mode[];
  readonly nodeName: string;
  readonly config: {
    readonly masqueradeAll: boolean;
    readonly clusterCIDR: string;
    readonly nodePortAddresses: readonly string[];
    readonly localhostNodePorts?: boolean;
  };
  readonly services: readonly object[];
  readonly endpointSlices: readonly object[];
  readonly flows: readonly PacketFlow[];
}

interface PacketFlow {
  readonly name: string;
  readonly sourceIP: string;
  readonly protocol: string;
  readonly destIP: string;
  readonly destPort: number;
  readonly expect: readonly string[] | 'REJECT' | 'DROP' | 'NONE' | 'ACCEPT';
  readonly masq: boolean;
}

/** As the runner makes the node. */
const NODE_ADDRESSES = ['192.168.0.2', '192.168.1.2', '192.168.99.11', '2001:db8::1', '2001:db8:1::2'];
/**
 * Flows that end otherwise in a mode: docs/nftables.md and docs/userspace.md say why; mode iptables refuses no unknown port.
 * "unallocated": the runner sees no answer from an address that nobody has; no ServiceCIDR says that it is a cluster IP.
 */
const MEANT: Readonly<Record<Mode, { readonly flows: RegExp; readonly count: number }>> = {
  iptables: { flows: /unallocated|TCP-only port does not match|does not accept svc2's ports/, count: 3 },
  nftables: {
    flows: /unallocated|localhost to nodePort is ignored TCP ::1|nodePort on secondary IP/,
    count: 6,
  },
  userspace: { flows: /unallocated|localhost to nodePort is ignored TCP ::1|SCTP/, count: 4 },
  ipvs: { flows: /unallocated/, count: 1 },
};

const scenarios = (): readonly Scenario[] => JSON.parse(readShared('conformance/flows.json')) as Scenario[];

function worldOf({ nodeName, services, endpointSlices }: Scenario): World {
  const objects = [...services, ...endpointSlices].flatMap((raw) => {
    const parsed = parseObject(raw);
    return parsed.type === 'object' ? [parsed.object] : [];
  });
  return {
    services: objects.filter((o): o is Service => o.kind === 'Service'),
    slices: objects.filter((o): o is EndpointSlice => o.kind === 'EndpointSlice'),
    nodeName,
    zone: '',
    nodeAddresses: { IPv4: '192.168.0.2', IPv6: '2001:db8::1' },
    podCIDRs: {},
    hostAddresses: NODE_ADDRESSES,
  };
}

/** kube-proxy's defaults: only mode nftables restricts node ports to the node's own addresses. */
function rulesOf({ config }: Scenario, mode: Mode): Rules {
  const isPrimary = mode === 'nftables' && config.nodePortAddresses.length === 0;
  const range = config.clusterCIDR === '' ? undefined : cidr(config.clusterCIDR);
  return {
    mode,
    masqueradeAll: config.masqueradeAll,
    detectLocal:
      range === undefined
        ? { type: 'None' }
        : { type: 'ClusterCIDR', cidrs: { [range.includes(':') ? 'IPv6' : 'IPv4']: range } },
    localhostNodePorts: config.localhostNodePorts ?? false,
    nodePortAddresses: isPrimary ? ['192.168.0.2/32', '2001:db8::1/128'] : config.nodePortAddresses,
    nodePortsOnPrimary: isPrimary,
    sourceAddress: 'transparent',
  };
}

function ends(world: World, rules: Rules, flow: PacketFlow): string {
  const to = `${flow.destIP.includes(':') ? `[${flow.destIP}]` : flow.destIP}:${flow.destPort}/${flow.protocol}`;
  const e = explain(world, rules, readFlow({ client: flow.sourceIP, destination: to }, world, rules));
  if (e.outcome === 'endpoint') return `${e.endpoints.join(' ')} ${e.masquerade}`;
  // NONE of the flows is anything but an endpoint.
  return e.outcome === 'refused' ? 'REJECT or NONE' : e.outcome === 'dropped' ? 'DROP or NONE' : 'NONE';
}

function wanted({ expect, masq }: PacketFlow): string {
  if (typeof expect === 'object') return `${[...expect].sort().join(' ')} ${masq}`;
  return expect;
}

for (const mode of ['iptables', 'nftables', 'userspace', 'ipvs'] as const) {
  t.test(`all flows in mode ${mode}`, needsShared, async (t) => {
    let count = 0;
    let meant = 0;
    for (const scenario of scenarios()) {
      const world = worldOf(scenario);
      const rules = rulesOf(scenario, mode);
      for (const flow of scenario.flows) {
        count++;
        const found = ends(world, rules, flow);
        if (found.split(' or ').includes(wanted(flow))) continue;
        const name = `${flow.name} ${flow.protocol} ${flow.sourceIP}`;
        if (MEANT[mode].flows.test(name)) meant++;
        else t.equal(found, wanted(flow), `${scenario.name}: ${name} → ${flow.destIP}:${flow.destPort}`);
      }
    }
    t.equal(count, 440, 'there are as many as ever');
    t.equal(meant, MEANT[mode].count, 'as many end otherwise as are meant to');
  });
}
