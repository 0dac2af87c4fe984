/** What waits for JavaScript, and how often JavaScript is woken, whatever a LAN sends. */
import t from 'tap';
import type { Order } from '../../../../src/balancer/layer2/orders.js';
import { AnnounceEventKind } from '../../../../src/kernel/addon/NativeResponder.js';
import {
  arp,
  INTERFACE,
  kindsOf,
  macOfNode,
  openAmong,
  openModel,
  STRANGER,
  V4,
} from '../../../support/balancer/modelLan.js';
import { fromHex, toHex } from '../../../support/hex.js';

const announcement = (i: number) => arp(2, toHex(macOfNode(i)), V4, V4);

t.test(
  'frames and datagrams wake JavaScript ten times a second at most, what a claim came to at once',
  async (t) => {
    const { model, claim, run } = openAmong();
    run({ command: 'observe' } as Order);
    let told = 0;
    for (let now = 1000; now < 2000; now++) {
      model.frame(INTERFACE, arp(2, now % 2 ? STRANGER : '0200000000ef', V4, V4), now, 0);
      told += model.tells(now);
      if (now % 100 === 99) t.equal(model.takeEvents().length, 1, 'the latest of its kind about the address');
    }
    t.equal(told, 10, '1,000 changes of the hardware address');
    model.frame(INTERFACE, arp(2, '0200000000ef', V4, V4), 2000, 0);
    t.equal(model.tells(2000), 1);
    model.frame(INTERFACE, arp(2, STRANGER, V4, V4), 2001, 0);
    t.equal(model.tells(2001), 0);
    claim();
    model.advance(2001);
    model.advance(2101);
    model.frame(INTERFACE, announcement(2), 2101, 0);
    t.equal(model.tells(2101), 1);
    t.match(model.takeEvents(), [
      { kind: AnnounceEventKind.seen, mac: fromHex(STRANGER) },
      { kind: AnnounceEventKind.claimed },
      { kind: AnnounceEventKind.yielded },
    ]);
    const [a, b] = [openModel('a', 1, [['b', 2]]), openModel('b', 2, [['a', 1]])];
    const beats = [0, 1].map((leaving) => {
      a.setLeaving(leaving as 0 | 1);
      return a.advance(200 * leaving) as Uint8Array;
    });
    told = 0;
    for (let now = 0; now < 1000; now++) {
      b.datagram(Uint8Array.of(192, 0, 2, 1), beats[now % 2] as Uint8Array, now);
      told += b.tells(now);
    }
    t.equal(told, 10, '1,000 changes of what a peer says of itself');
    t.match(b.takeEvents(), [{ kind: AnnounceEventKind.peerUp }, { kind: AnnounceEventKind.peerLeaving }]);
    t.equal(b.tells(5000), 0, 'nothing waits');
  },
);

t.test(
  'who is not asked for events for long holds one of a kind for an address, and loses no claim',
  async (t) => {
    const { model, own, run } = openAmong();
    own();
    for (let now = 1000; now < 1_000_000; now += 1000) {
      model.link(INTERFACE, 0, now);
      model.link(INTERFACE, 1, now + 100);
      for (let at = now + 100; at <= now + 300; at += 100) model.advance(at);
      model.frame(INTERFACE, announcement(3), now + 500, 0);
      model.frame(INTERFACE, arp(2, STRANGER, V4, V4), now + 600, 0);
    }
    run({ command: 'release' } as Order, 1_000_000);
    for (let i = 0; i < 200_000; i++)
      model.frame(INTERFACE, arp(2, i % 2 ? STRANGER : '0200000000ef', V4, V4), 1_000_000, 0);
    const kinds = kindsOf(model.takeEvents());
    t.same(new Set(kinds).size, kinds.length);
    t.ok(
      kinds.includes(AnnounceEventKind.claimed),
      'a claim that was told to nobody would never be handed over',
    );
  },
);
