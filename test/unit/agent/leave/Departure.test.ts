/** When the agent leaves, what it says while it waits, and when it serves again. */
import t from 'tap';
import { Departure, type DepartureOptions } from '../../../../src/agent/leave/Departure.js';
import type { RuleTexts } from '../../../../src/compare/readRules.js';
import { toNodeConfig } from '../../../../src/config/NodeConfig.js';
import { PenstockError } from '../../../../src/errors.js';
import type { Mode } from '../../../../src/explain/World.js';
import type { Occurrence } from '../../../../src/observe/events/KubernetesEvent.js';
import { endpoint, ip, node, service, slice, tableOf, upsert } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';
import { runFile } from '../../config/runCommand.js';

/** As kube-proxy has it for shop/cart on 10.96.0.10:80 and one endpoint. */
function iptables(target: string | undefined): RuleTexts {
  const place = '-d 10.96.0.10/32 -p tcp -m comment --comment "shop/cart cluster IP" -m tcp --dport 80';
  const lines =
    target === undefined
      ? []
      : [
          `-A KUBE-SERVICES ${place} -j KUBE-SVC-CART`,
          `-A KUBE-SVC-CART ! -s 10.0.0.0/8 ${place} -j KUBE-MARK-MASQ`,
          '-A KUBE-SVC-CART -j KUBE-SEP-CART',
          `-A KUBE-SEP-CART -p tcp -m tcp -j DNAT --to-destination ${target}`,
        ];
  const chains = ['PREROUTING', 'OUTPUT', 'POSTROUTING'].map((name) => `:${name} ACCEPT [0:0]`);
  const own = ['KUBE-SERVICES', 'KUBE-MARK-MASQ', 'KUBE-SVC-CART', 'KUBE-SEP-CART'].map(
    (n) => `:${n} - [0:0]`,
  );
  const jumps = ['-A PREROUTING -j KUBE-SERVICES', '-A OUTPUT -j KUBE-SERVICES'];
  const mark = '-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000';
  const text = ['*nat', ...chains, ...own, ...jumps, mark, ...lines, 'COMMIT', ''].join('\n');
  return { iptablesSave: [{ name: 'rules', text }], nft: undefined, ipvsadm: undefined, ipset: undefined };
}

function world(mode: Mode = 'nftables', more: Partial<DepartureOptions> = {}) {
  const { source } = runFile(`mode: ${mode}\nclusterCIDR: 10.0.0.0/8\nhostnameOverride: node1\n`);
  const table = tableOf([service(), slice([endpoint('10.1.0.1')]), node({ addresses: [ip('10.200.0.10')] })]);
  table.commit();
  const clock = new FakeClock();
  const said: string[] = [];
  const events: Occurrence[] = [];
  const state = {
    note: false,
    complete: true,
    target: undefined as string | undefined,
    left: [] as Mode[],
    again: 0,
    refuses: false,
    shared: false,
    held: 0,
  };
  const say = (_: unknown, text?: unknown) => said.push(String(text ?? _));
  const departure = new Departure({
    config: toNodeConfig(source, 'node1'),
    inMode: (each) => toNodeConfig({ ...source, mode: each }, 'node1'),
    table,
    isComplete: () => state.complete,
    hostAddresses: () => [ip('10.200.0.10')],
    hasNote: () => state.note,
    readOther: async (_, areShared) => {
      state.shared = areShared;
      if (state.target === undefined)
        throw new PenstockError('PENSTOCK_RULES_UNREADABLE', 'no other proxy has rules here');
      return iptables(state.target === '' ? undefined : state.target);
    },
    holdRepairs: () => state.held++,
    chainsAreTheirs: async () => true,
    stay: async () => {},
    leave: async (theirs) => {
      if (state.refuses) throw new Error('the kernel says no');
      state.left.push(theirs);
    },
    serveAgain: () => state.again++,
    events: { record: (event) => events.push(event) },
    clock,
    log: { info: say, warn: say },
    ...more,
  });
  t.teardown(() => departure.stop());
  return { departure, table, clock, said, events, state };
}

t.test(
  'it serves until it is asked, waits until nothing would be lost, leaves once, and comes back',
  async (t) => {
    const { departure, clock, said, events, state } = world();
    state.target = '10.1.0.1:8080';
    departure.start();
    await clock.pass(3000);
    t.same(departure.state, { type: 'serving' }, 'nobody asked');

    state.note = true;
    state.target = undefined;
    await clock.pass(2000);
    t.match(departure.state, { type: 'waiting', why: 'no other proxy has rules here' });
    state.target = '';
    await clock.pass(2000);
    t.match(departure.state, {
      type: 'waiting',
      why: /shop\/cart at 10\.96\.0\.10:80\/TCP: not touched instead of 10\.1\.0\.1:8080/,
    });
    state.target = '10.1.0.9:8080';
    await clock.pass(2000);
    t.match(departure.state, { type: 'waiting', why: /10\.1\.0\.9:8080 instead of 10\.1\.0\.1:8080/ });
    t.same(state.left, []);
    state.target = '10.1.0.1:8080';
    state.refuses = true;
    await clock.pass(2000);
    t.match(departure.state, { type: 'waiting', why: 'the kernel says no' }, 'tried again');
    state.refuses = false;
    await clock.pass(2000);
    t.same(departure.state, { type: 'left', successor: 'kube-proxy, mode iptables' });
    await clock.pass(5000);
    t.same(state.left, ['iptables'], 'once');
    t.same(
      events.map(({ reason }) => reason),
      ['Leaving', 'Left'],
    );
    t.equal(said.filter((line) => line.includes('no other proxy')).length, 1, 'each reason is said once');
    state.note = false;
    await clock.pass(3000);
    t.equal(state.again, 1, 'no longer asked: somebody else goes on, once');
  },
);

t.test(
  'the label of the Node asks as well, and its end while waiting is an end of the waiting',
  async (t) => {
    const { departure, table, clock, state } = world();
    departure.start();
    table.apply([upsert(node({ addresses: [ip('10.200.0.10')], leave: true }))]);
    await clock.pass(1500);
    t.match(departure.state, { type: 'waiting', asked: /label penstock\.io\/leave/ });
    table.apply([upsert(node({ addresses: [ip('10.200.0.10')] }))]);
    await clock.pass(1500);
    t.same(departure.state, { type: 'serving' });
    t.equal(state.again, 0);
  },
);

t.test('started again where another proxy serves, it writes nothing', async (t) => {
  const { departure, state } = world();
  t.equal(await departure.isOver(), false, 'not asked');
  state.note = true;
  t.equal(await departure.isOver(), false, 'nobody serves');
});

t.test('over at once where the rules are right', async (t) => {
  const { departure, state } = world();
  state.note = true;
  state.target = '10.1.0.1:8080';
  t.equal(await departure.isOver(), true);
});

t.test('mode iptables waits until somebody else writes its chains', async (t) => {
  let areTheirs = false;
  const { departure, clock, state } = world('iptables', { chainsAreTheirs: async () => areTheirs });
  state.note = true;
  departure.start();
  await clock.pass(1500);
  t.equal(state.shared, false);
  areTheirs = true;
  state.target = '10.1.0.1:8080';
  await clock.pass(3000);
  t.equal(state.shared, true);
  t.match(departure.state, { type: 'left' });
});

t.test(
  'what another proxy writes into chains of its names is not repaired while it is waited for',
  async (t) => {
    for (const mode of ['iptables', 'ipvs', 'nftables', 'userspace'] as const) {
      const { departure, clock, state } = world(mode);
      departure.start();
      await clock.pass(3000);
      t.equal(state.held, 0, `${mode}: nobody asks`);
      state.note = true;
      await clock.pass(1500);
      t.equal(state.held > 0, mode === 'iptables' || mode === 'ipvs', mode);
      await departure.stop();
    }
  },
);

t.test(
  'the rules cannot be removed, and nobody asks any more: another agent serves, as this one has ended its syncs',
  async (t) => {
    const { departure, clock, said, state } = world();
    state.note = true;
    state.target = '10.1.0.1:8080';
    state.refuses = true;
    departure.start();
    await clock.pass(3000);
    t.match(departure.state, { type: 'waiting', why: 'the kernel says no' });
    state.note = false;
    await clock.pass(5000);
    t.equal(state.again, 1);
    t.match(said.at(-1), /no longer asked to leave: penstock serves this node again/);
    t.equal(clock.waiting, 0);
  },
);

t.test('who has not read all Services yet cannot say that another proxy has them all', async (t) => {
  const { departure, clock, state } = world();
  state.note = true;
  state.complete = false;
  state.target = '10.1.0.1:8080';
  departure.start();
  await clock.pass(5000);
  t.match(departure.state, { type: 'waiting', why: 'the Services have not all been read yet' });
  t.same(state.left, []);
  state.complete = true;
  await clock.pass(2000);
  t.equal(departure.state.type, 'left');
});
