/** Which endpoints serve: readiness, policies, hints. Cases marked [T] are kube-proxy's own. */
import t from 'tap';
import { type EndpointUse, selectEndpoints } from '../../../src/routing/build/selectEndpoints.js';
import type { NodeFacts } from '../../../src/routing/NodeFacts.js';
import type { Endpoint } from '../../../src/routing/ServicePort.js';
import { DEAD, ip, SERVING_TERMINATING } from '../../support/builders.js';

const NODE: NodeFacts = { name: 'node1', zone: 'z1', addresses: {} };
const CLUSTER: EndpointUse = { cluster: true, local: false };
const LOCAL: EndpointUse = { cluster: false, local: true };
const BOTH: EndpointUse = { cluster: true, local: true };

/** Endpoint 10.0.0.n. */
function ep(n: number, fields: Partial<Endpoint> = {}): Endpoint {
  return {
    address: ip(`10.0.0.${n}`),
    port: 80,
    target: `10.0.0.${n}:80`,
    local: false,
    mayBeHere: false,
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
    ...fields,
  };
}

const here = { local: true };
const zone = (...names: string[]) => ({ zoneHints: names });
const forNode = (...names: string[]) => ({ nodeHints: names });

interface Case {
  readonly name: string;
  readonly all: readonly Endpoint[];
  readonly use: EndpointUse;
  readonly node?: Partial<NodeFacts>;
  /** Last octets: cluster, local, reachable; then whether any endpoint can serve. */
  readonly expected: readonly [cluster: number[], local: number[], reachable: number[], any: boolean];
}

const MIXED = [
  ep(1, here),
  ep(2, here),
  ep(3, { ...here, ...SERVING_TERMINATING }),
  ep(4, { ...here, ...DEAD }),
  ep(5),
];
const TERMINATING = [
  ep(2, { ...here, ...SERVING_TERMINATING }),
  ep(3, { ...here, ...SERVING_TERMINATING }),
  ep(4, { ...here, ...DEAD }),
];

const CASES: readonly Case[] = [
  { name: 'no endpoints', all: [], use: BOTH, expected: [[], [], [], false] },
  { name: 'cluster only', all: [ep(1, here), ep(2)], use: CLUSTER, expected: [[1, 2], [], [1, 2], true] },
  { name: 'local only', all: [ep(1, here), ep(2)], use: LOCAL, expected: [[], [1], [1], true] },
  { name: 'both', all: [ep(1, here), ep(2)], use: BOTH, expected: [[1, 2], [1], [1, 2], true] },
  { name: 'local only, none here', all: [ep(1), ep(2)], use: LOCAL, expected: [[], [], [], true] },
  { name: 'both, none here', all: [ep(1), ep(2)], use: BOTH, expected: [[1, 2], [], [1, 2], true] },
  {
    name: 'nobody serves',
    all: [ep(1, DEAD), ep(2, { ...DEAD, ...here })],
    use: BOTH,
    expected: [[], [], [], false],
  },
  {
    name: 'not ready, terminating, but no longer serving',
    all: [ep(1, { ready: false, serving: false, terminating: true, ...here })],
    use: BOTH,
    expected: [[], [], [], false],
  },
  {
    name: 'serving without being ready or terminating is not enough',
    all: [ep(1, { ready: false, serving: true, terminating: false, ...here })],
    use: BOTH,
    expected: [[], [], [], false],
  },
  {
    name: 'ready although terminating (publishNotReadyAddresses)',
    all: [ep(1, { ready: true, serving: true, terminating: true, ...here })],
    use: BOTH,
    expected: [[1], [1], [1], true],
  },

  {
    name: '[T] ready, terminating, dead here and one elsewhere',
    all: MIXED,
    use: BOTH,
    expected: [[1, 2, 5], [1, 2], [1, 2, 5], true],
  },
  {
    name: '[T] only terminating here, one ready elsewhere',
    all: [...TERMINATING, ep(5)],
    use: BOTH,
    expected: [[5], [2, 3], [2, 3, 5], true],
  },
  {
    name: '[T] only one terminating elsewhere',
    all: [ep(5, SERVING_TERMINATING)],
    use: BOTH,
    expected: [[5], [], [5], true],
  },
  {
    name: '[T] nothing serves anywhere',
    all: [ep(4, { ...here, ...DEAD }), ep(5, DEAD)],
    use: BOTH,
    expected: [[], [], [], false],
  },
  {
    name: '[T] cluster policy, terminating everywhere',
    all: [...TERMINATING, ep(5, SERVING_TERMINATING)],
    use: CLUSTER,
    expected: [[2, 3, 5], [], [2, 3, 5], true],
  },
  {
    name: 'local policy, only terminating here, ready elsewhere',
    all: [...TERMINATING, ep(5)],
    use: LOCAL,
    expected: [[], [2, 3], [2, 3], true],
  },
  {
    name: 'local policy, a terminating one elsewhere counts as any',
    all: [ep(5, SERVING_TERMINATING)],
    use: LOCAL,
    expected: [[], [], [], true],
  },

  {
    name: 'zone hints: this zone only',
    all: [ep(1, zone('z1')), ep(2, zone('z2')), ep(3, zone('z2', 'z1'))],
    use: CLUSTER,
    expected: [[1, 3], [], [1, 3], true],
  },
  {
    name: 'zone hints: one ready endpoint without any, so none count',
    all: [ep(1, zone('z1')), ep(2, zone('z2')), ep(3)],
    use: CLUSTER,
    expected: [[1, 2, 3], [], [1, 2, 3], true],
  },
  {
    name: 'zone hints: nobody for this zone, so none count',
    all: [ep(1, zone('z2')), ep(2, zone('z3'))],
    use: CLUSTER,
    expected: [[1, 2], [], [1, 2], true],
  },
  {
    name: 'zone hints: an endpoint that is not ready needs none',
    all: [ep(1, zone('z1')), ep(2, zone('z2')), ep(3, DEAD)],
    use: CLUSTER,
    expected: [[1], [], [1], true],
  },
  {
    name: 'zone hints: the only endpoint of this zone is not ready, so none count',
    all: [ep(1, { ...zone('z1'), ...DEAD }), ep(2, zone('z2'))],
    use: CLUSTER,
    expected: [[2], [], [2], true],
  },
  {
    name: 'zone hints: a node without zone',
    all: [ep(1, zone('z1')), ep(2, zone(''))],
    use: CLUSTER,
    node: { zone: '' },
    expected: [[1, 2], [], [1, 2], true],
  },
  {
    name: 'zone hints: the fall-back to terminating endpoints ignores them',
    all: [ep(1, { ...SERVING_TERMINATING, ...zone('z1') }), ep(2, { ...SERVING_TERMINATING, ...zone('z2') })],
    use: CLUSTER,
    expected: [[1, 2], [], [1, 2], true],
  },
  {
    name: 'zone hints: the local list ignores them',
    all: [ep(1, zone('z1')), ep(2, { ...zone('z2'), ...here }), ep(3, zone('z2'))],
    use: BOTH,
    expected: [[1], [2], [1, 2], true],
  },
  {
    name: 'node hints: this node only',
    all: [ep(1, forNode('node1')), ep(2, forNode('node2')), ep(3, forNode('node2', 'node1'))],
    use: CLUSTER,
    expected: [[1, 3], [], [1, 3], true],
  },
  {
    name: 'node hints come before zone hints',
    all: [ep(1, { ...forNode('node1'), ...zone('z2') }), ep(2, { ...forNode('node2'), ...zone('z1') })],
    use: CLUSTER,
    expected: [[1], [], [1], true],
  },
  {
    name: 'node hints for other nodes only: zone hints decide',
    all: [ep(1, { ...forNode('node2'), ...zone('z2') }), ep(2, { ...forNode('node3'), ...zone('z1') })],
    use: CLUSTER,
    expected: [[2], [], [2], true],
  },
  {
    name: 'node hints on some only: zone hints decide',
    all: [ep(1, { ...forNode('node1'), ...zone('z2') }), ep(2, zone('z1'))],
    use: CLUSTER,
    expected: [[2], [], [2], true],
  },
  {
    name: 'node hints: a node without name',
    all: [ep(1, forNode('')), ep(2, forNode('node1'))],
    use: CLUSTER,
    node: { name: '' },
    expected: [[1, 2], [], [1, 2], true],
  },
  {
    name: 'node hints: local endpoints that are hinted elsewhere stay reachable',
    all: [ep(1, forNode('node1')), ep(2, { ...forNode('node2'), ...here })],
    use: BOTH,
    expected: [[1], [2], [1, 2], true],
  },
];

for (const { name, all, use, node, expected } of CASES) {
  t.test(name, async (t) => {
    const result = selectEndpoints(all, use, { ...NODE, ...node });
    const numbers = (list: readonly Endpoint[]) => list.map((e) => Number(e.address.split('.')[3]));
    t.same([numbers(result.cluster), numbers(result.local), numbers(result.reachable), result.any], expected);
    t.equal(result.all, all);
  });
}
