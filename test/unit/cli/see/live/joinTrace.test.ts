/** One traced packet beside the model: every way in which it can end, and every way in which both can differ. */
import t from 'tap';
import {
  joinTrace,
  ofFirstPacket,
  type TraceWithComment,
} from '../../../../../src/cli/see/live/joinTrace.js';
import type { Explanation } from '../../../../../src/explain/explain.js';
import { VerdictCode } from '../../../../../src/kernel/nftables/Expression.js';
import type { TracedPacket } from '../../../../../src/kernel/nftables/trace/decodeTrace.js';
import { ip } from '../../../../support/builders.js';

const packet = (
  source: string,
  destination: string,
  destinationPort: number,
  sourcePort = 40_000,
): TracedPacket => ({
  source: ip(source),
  destination: ip(destination),
  sourcePort,
  destinationPort,
});

const ASKED = packet('10.244.1.5', '172.30.0.10', 80);

function event(table: string, chain: string, fields: Partial<TraceWithComment> = {}): TraceWithComment {
  return {
    id: 1,
    family: 2,
    table,
    chain,
    type: 'rule',
    handle: 7,
    verdict: { code: 1 },
    packet: undefined,
    comment: '',
    ...fields,
  };
}

const begin = event('penstock-trace', 'trace-prerouting', { packet: ASKED });
const last = (chain: 'sent' | 'delivered', as: TracedPacket) => [
  event('penstock-trace', chain, { packet: as, handle: 0 }),
  event('penstock-trace', chain, { type: 'policy', handle: 0 }),
];

const MODEL: Explanation = {
  outcome: 'endpoint',
  reason: 'forwarded',
  because: '',
  remedy: '',
  isProblem: false,
  service: 'shop/cart',
  servicePort: 'shop/cart:http',
  endpoints: ['10.1.0.1:8080'],
  masquerade: false,
  masqueradeBecause: '',
  seenSource: '10.244.1.5',
  client: { address: '10.244.1.5', is: 'pod', name: '' },
  destination: { address: '172.30.0.10', port: 80, protocol: 'TCP', is: 'cluster IP' },
  policy: 'Cluster',
  topology: 'none',
  affinitySeconds: null,
  sourceRanges: [],
  clientInSourceRanges: true,
  algorithm: null,
  choice: null,
  candidates: [
    {
      endpoint: '10.1.0.1:8080',
      pod: 'cart-a',
      node: 'node1',
      gets: true,
      share: 1,
      masquerade: false,
      out: '',
    },
    {
      endpoint: '10.1.0.2:8080',
      pod: 'cart-b',
      node: 'node1',
      gets: false,
      share: 0,
      masquerade: false,
      out: 'not ready',
    },
  ],
  losers: [],
  notes: [],
  mode: 'nftables',
  node: 'node1',
};
const REFUSED: Explanation = {
  ...MODEL,
  outcome: 'refused',
  reason: 'no-endpoints',
  because: 'nobody can serve',
  endpoints: [],
  candidates: [],
};
const PASSED: Explanation = {
  ...REFUSED,
  outcome: 'not-a-service',
  reason: 'no-service',
  service: null,
  servicePort: null,
};

const ASLEEP: Explanation = { ...MODEL, reason: 'asleep', endpoints: [], candidates: [] };
/** NF_QUEUE of queue 28805, with bypass. */
const queued = event('penstock-wake', 'hold', { verdict: { code: (28_805 << 16) | 0x8003 } });

const sent = last('sent', packet('10.244.1.5', '10.1.0.1', 8080));
const masqueraded = last('sent', packet('192.0.2.1', '10.1.0.1', 8080));
const drop = (table: string, chain: string, comment = '') =>
  event(table, chain, { verdict: { code: 0 }, comment });

const CASES: readonly (readonly [
  string,
  Explanation,
  readonly TraceWithComment[],
  string,
  boolean,
  RegExp,
])[] = [
  [
    'an endpoint, as the model says',
    MODEL,
    sent,
    'endpoint',
    true,
    /sent to cart-a \(10\.1\.0\.1:8080\); it sees 10\.244\.1\.5$/,
  ],
  [
    'another source than the model says',
    MODEL,
    masqueraded,
    'endpoint',
    false,
    /192\.0\.2\.1 instead of 10\.244\.1\.5; .*keeps the client's address/,
  ],
  [
    'an endpoint that is not ready',
    MODEL,
    last('sent', packet('10.244.1.5', '10.1.0.2', 8080)),
    'endpoint',
    false,
    /gets nothing: not ready/,
  ],
  [
    'an endpoint that nobody knows',
    MODEL,
    last('sent', packet('10.244.1.5', '10.9.9.9', 1)),
    'endpoint',
    false,
    /knows no such endpoint/,
  ],
  [
    'an endpoint where the model refuses',
    REFUSED,
    sent,
    'endpoint',
    false,
    /the model says refused \[no-endpoints\]/,
  ],
  [
    'refused, as the model says',
    REFUSED,
    [drop('penstock', 'refuse')],
    'stopped',
    true,
    /^refused by chain refuse \(table ip penstock\): nobody can serve/,
  ],
  [
    'refused in mode iptables',
    REFUSED,
    [drop('filter', 'KUBE-SERVICES', 'shop/empty:http has no endpoints')],
    'stopped',
    true,
    /^refused by chain KUBE-SERVICES/,
  ],
  [
    "dropped by somebody else's rule",
    MODEL,
    [drop('fw', 'in', 'no entry')],
    'stopped',
    false,
    /rule 7 of chain in \(table ip fw\), which says "no entry", which is not penstock's; the model says that it reaches 10\.1\.0\.1:8080/,
  ],
  [
    'dropped by a policy',
    MODEL,
    [event('filter', 'FORWARD', { type: 'policy', handle: 0, verdict: { code: 0 } })],
    'stopped',
    false,
    /the policy of chain FORWARD/,
  ],
  [
    'dropped by somebody else, where the model refuses too',
    REFUSED,
    [drop('fw', 'in')],
    'stopped',
    false,
    /not penstock's; the model says refused/,
  ],
  [
    'lost between the chains',
    MODEL,
    [event('penstock', 'endpoints-1')],
    'lost',
    false,
    /after chain endpoints-1 \(ip penstock\): there is no route/,
  ],
  ['no Service, and no way', PASSED, [event('penstock', 'services')], 'lost', true, /no route/],
  [
    'no Service',
    PASSED,
    last('sent', ASKED),
    'untouched',
    true,
    /^it left this node, to 172\.30\.0\.10:80, as it was$/,
  ],
  [
    'untouched, though it is a VIP',
    MODEL,
    last('sent', ASKED),
    'untouched',
    false,
    /the model says that it reaches/,
  ],
  [
    'the node itself',
    { ...PASSED, outcome: 'node' },
    last('delivered', ASKED),
    'untouched',
    true,
    /came to this node itself/,
  ],
  [
    'the proxy of mode userspace',
    { ...MODEL, mode: 'userspace' },
    last('delivered', packet('10.244.1.5', '10.244.1.1', 39_999)),
    'proxy',
    true,
    /passes it on to 10\.1\.0\.1:8080/,
  ],
  ['it waits', ASLEEP, [queued], 'held', true, /^it waits with the agent until an endpoint is ready$/],
  ['it waits, and should not', REFUSED, [queued], 'held', false, /the model says refused \[no-endpoints\]/],
  [
    'it should wait, and is refused',
    ASLEEP,
    [drop('penstock', 'refuse')],
    'stopped',
    false,
    /the model says that it waits until an endpoint is ready/,
  ],
  [
    'more came than can wait',
    ASLEEP,
    [drop('penstock-wake', 'wait')],
    'stopped',
    true,
    /dropped by chain wait .*more come than can wait/,
  ],
  [
    'it waited, and somebody woke',
    ASLEEP,
    [queued, ...sent],
    'endpoint',
    true,
    /it waited until .*10\.1\.0\.1:8080/,
  ],
  [
    'another queue is no waiting',
    MODEL,
    [event('penstock-choice', 'choose', { verdict: { code: (28_801 << 16) | 0x8003 } }), ...sent],
    'endpoint',
    true,
    /sent to cart-a/,
  ],
  [
    'over loopback: it leaves, then it arrives',
    MODEL,
    [...last('sent', ASKED), ...last('delivered', packet('10.244.1.5', '10.1.0.1', 8080))],
    'endpoint',
    true,
    /sent to cart-a/,
  ],
];

for (const [name, model, events, outcome, agrees, says] of CASES) {
  t.test(name, async (t) => {
    const live = joinTrace([begin, ...events], model);
    t.equal(live.outcome, outcome);
    t.equal(live.agrees, agrees, live.says);
    t.match(live.says, says);
    t.ok(
      live.steps.every(({ table }) => !table.endsWith('penstock-trace')),
      'the trace itself is no step',
    );
  });
}

t.test('a queue is a word', async (t) => {
  t.strictSame(
    joinTrace([begin, queued], ASLEEP).steps.map(({ verdict, says }) => [verdict, says]),
    [['queue', 'hands the first packet to the agent']],
  );
});

t.test('steps in words, with the name of the Service', async (t) => {
  const to = (chain: string, target: string) =>
    event('penstock', chain, { verdict: { code: -4, chain: target } });
  const { steps } = joinTrace(
    [
      begin,
      to('nat-prerouting', 'services'),
      to('services', 'service'),
      to('service', 'cluster'),
      to('cluster', 'endpoints'),
      to('endpoints', 'endpoints-1'),
      event('penstock', 'endpoints-1'),
      ...sent,
    ],
    MODEL,
  );
  t.strictSame(
    steps.map(({ verdict, says }) => `${verdict}: ${says}`),
    [
      'goto services: a first packet: is it for a Service?',
      'goto service: an address and a port of shop/cart:http',
      'goto cluster: a cluster IP of shop/cart:http',
      'goto endpoints: how many endpoints are there to pick from?',
      'goto endpoints-1: picks one of the endpoints',
      'accept: rewrites the destination to the endpoint',
    ],
  );
});

t.test('one of the endpoints is picked once, however often it draws', async (t) => {
  const go = (chain: string, code: number, target: string) =>
    event('penstock', chain, { verdict: { code, chain: target } });
  const { JUMP, GOTO } = VerdictCode;
  const NOTHING_FITS = -1;
  const { steps } = joinTrace(
    [
      begin,
      go('endpoints', GOTO, 'endpoints-4'),
      go('endpoints-4', JUMP, 'endpoints-4-once'),
      event('penstock', 'endpoints-4-once', { type: 'return', handle: 0, verdict: { code: NOTHING_FITS } }),
      go('endpoints-4', JUMP, 'endpoints-4-once'),
      event('penstock', 'endpoints-4-once'),
      go('endpoints-4', GOTO, 'endpoints-half'),
      event('penstock', 'endpoints-half'),
      ...sent,
    ],
    MODEL,
  );
  t.strictSame(
    steps.map(({ verdict, says }) => `${verdict}: ${says}`),
    [
      'goto endpoints-4: picks one of the endpoints',
      'jump endpoints-4-once: draws an index',
      'continue: no endpoint has this index',
      'jump endpoints-4-once: draws an index',
      'accept: rewrites the destination to the endpoint',
      'goto endpoints-half: draws among the lower half of the indexes, which all have an endpoint',
      'accept: rewrites the destination to the endpoint',
    ],
  );
});

t.test('a second packet that came meanwhile is left out', async (t) => {
  const other = event('penstock-trace', 'trace-prerouting', {
    packet: packet('10.244.1.5', '172.30.0.10', 80, 40_001),
  });
  t.equal(ofFirstPacket([begin, ...sent, other, ...masqueraded]).length, 3);
  t.equal(
    ofFirstPacket([begin, ...sent, begin, ...sent]).length,
    6,
    'the same again: sent anew, or over loopback',
  );
});
