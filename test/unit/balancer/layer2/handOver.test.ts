/** How an address changes hands: who hands over answers until somebody else has it, and asks for that. */
import t from 'tap';
import { encodeOrders, type Order } from '../../../../src/balancer/layer2/orders.js';
import { compareRank } from '../../../../src/balancer/layer2/rendezvous.js';
import { AnnounceEventKind } from '../../../../src/kernel/addon/NativeResponder.js';
import {
  arp,
  framesOf,
  INTERFACE,
  macOfNode,
  openAmong,
  openModel,
  STRANGER,
  V4,
} from '../../../support/balancer/modelLan.js';
import { toHex } from '../../../support/hex.js';

/** In the order of openAmong(). */
const NAMES = ['node1', 'node2', 'node3'].sort((a, b) => compareRank(V4, a, b)) as [string, string, string];
const CLAIM = {
  command: 'claim',
  interface: INTERFACE,
  address: V4,
  giveWay: 'to all',
  probes: 1,
  intervalMs: 100,
} as const;
const mac = (i: number) => toHex(macOfNode(i));
const announcement = (i: number) => arp(2, mac(i), V4, V4);

t.test('what is ceded is answered until the successor is heard, at most for the time', async (t) => {
  for (const heard of [true, false]) {
    const { model, own, run, state } = openAmong();
    own();
    run({ command: 'cede', withinMs: 5000 } as Order, 1000);
    model.advance(5999);
    framesOf(model);
    model.frame(INTERFACE, arp(1, STRANGER, '192.0.2.9', V4), 5999, 0);
    t.equal(framesOf(model).length, 1);
    if (heard) model.frame(INTERFACE, announcement(3), 5999, 0);
    else model.advance(6000);
    t.equal(state(), 0);
    t.match(model.takeEvents().at(-1), { kind: AnnounceEventKind.ceded });
  }
});

t.test('who hands over asks who has it already, and is silent when somebody answers', async (t) => {
  const { model, own, run, state } = openAmong();
  own();
  run({ command: 'cede', withinMs: 5000 } as Order, 1000);
  model.advance(1299);
  t.same(framesOf(model), [], 'the successor comes as a rule');
  model.advance(1300);
  const [question] = framesOf(model) as [Uint8Array];
  const [, , successor] = NAMES;
  const other = openModel(successor, 3, [[NAMES[1], 1]]);
  other.run(encodeOrders([CLAIM]), 0);
  other.advance(0);
  other.advance(100);
  framesOf(other);
  other.frame(INTERFACE, question, 1000, 0);
  const [answer] = framesOf(other) as [Uint8Array];
  t.equal(state(), 3);
  model.frame(INTERFACE, answer, 1301, 0);
  t.equal(state(), 0, 'it was announced before anybody heard it');
  t.match(model.takeEvents(), [{ kind: AnnounceEventKind.ceded, mac: macOfNode(3) }]);
});

t.test(
  'of two that hand over, one goes on; who claims for sure does not give way to a question',
  async (t) => {
    const { model, own, run, claim, state } = openAmong();
    own();
    run({ command: 'cede', withinMs: 5000 } as Order, 1000);
    const question = (i: number) => arp(1, mac(i), '0.0.0.0', V4);
    model.frame(INTERFACE, question(2), 1010, 0);
    t.same(framesOf(model), [], 'not to who comes first: it would be silent too');
    model.frame(INTERFACE, question(3), 1020, 0);
    t.equal(framesOf(model).length, 1);
    t.equal(state(), 3);
    run({ command: 'release' } as Order, 1100);
    for (const [giveWay, expected] of [
      ['to nobody', 1],
      ['to first', 0],
    ] as const) {
      claim(giveWay);
      model.frame(INTERFACE, question(2), 1200, 0);
      t.equal(state(), expected, giveWay);
      run({ command: 'release' } as Order, 1300);
    }
  },
);
